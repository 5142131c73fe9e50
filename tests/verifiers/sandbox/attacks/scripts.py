"""Each piece of JavaScript is an expression, or a promise, that is true if it reached something outside of its run.

`programs.py` runs them.
"""

ESCAPES = {
    "read a secret file": "fs.readFileSync('SECRET').length",
    "read the accounts": "fs.readFileSync('/etc/passwd').length",
    "list the home folders": "fs.readdirSync('/home').length",
    "read a secret of the environment": "JSON.stringify(process.env).includes('hunter2')",
    "read another's environment": "fs.readFileSync('/proc/1/environ').length",
    "read another's memory": "fs.openSync('/proc/1/mem')",
    "see the machine's processes": "fs.readdirSync('/proc').some(name => +name > 4000)",
    "signal a process of this machine": "process.kill(SUPERVISOR, 0)",
    "become root": "process.setuid(0) === undefined",
    "be root": "process.getuid() === 0 || process.getgid() === 0",
    "become another user": "process.setgid(1) === undefined",
    "connect to a server of this machine": "reaches({port: PORT, host: '127.0.0.1'})",
    "connect to the machine by a name": "reaches({path: '\\0tenfold-attack-PORT'})",
    "listen for others": "new Promise(told => { const s = net.createServer(); s.on('error', () => told(false)); "
    "s.listen(0, '127.0.0.1', () => told(true)); })",
    "send a datagram": "new Promise(told => { const s = dgram.createSocket('udp4'); s.on('error', () => told(false)); "
    "s.send('x', PORT, '127.0.0.1', e => told(!e)); })",
    "leave the control group by a descriptor": "fds().some(fd => "
    "works(() => fs.writeFileSync(`/proc/self/fd/${fd}/cgroup.procs`, '0')))",
    "use a folder left open": "fds().some(fd => works(() => fs.readdirSync(`/proc/self/fd/${fd}/`)))",
    "come before others": "works(() => os.setPriority(-10))",
    "write where programs are kept": "works(() => fs.writeFileSync('/usr/bin/owned', 'x'))",
    "write settings of the machine": "works(() => fs.writeFileSync('/proc/sys/kernel/core_pattern', 'x'))",
    "be killed last": "works(() => fs.writeFileSync('/proc/self/oom_score_adj', '-1000'))",
    "watch who opens a file": "works(() => fs.watch('/usr/bin', () => {}).unref())",
    "see the control groups": "fs.existsSync('/sys/fs/cgroup') || "
    "fs.readFileSync('/proc/self/cgroup', 'utf8').includes('tenfold')",
    "see a network": "Object.values(os.networkInterfaces()).flat().some(one => !one.internal)",
    "follow a link out of its folder": "fs.symlinkSync('SECRET', '/tmp/link') === undefined && "
    "fs.readFileSync('/tmp/link').length",
    "change its root": "run('chroot', ['/tmp', 'true']).status === 0",
    "become root by a program": "run('su', ['root', '-c', 'id -u']).stdout.includes('0')",
}
"""SECRET is a file of this machine, PORT that of a server on it, SUPERVISOR the process that judges."""
