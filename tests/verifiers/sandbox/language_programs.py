"""Small programs in every language of the sandbox, by what they do and by language."""

REVERSE = {
    "bash": 'read -r line; echo "$line" | rev',
    "c": '#include <stdio.h>\n#include <string.h>\nint main() { char s[99]; scanf("%98s", s); '
    'for (int i = strlen(s); i--;) putchar(s[i]); puts(""); }',
    "cpp": "#include <iostream>\n#include <algorithm>\nint main() { std::string s; std::cin >> s; "
    "std::reverse(s.begin(), s.end()); std::cout << s << '\\n'; }",
    "csharp": "using System;\nusing System.Linq;\nclass P { static void Main() { "
    "Console.WriteLine(new string(Console.ReadLine().Reverse().ToArray())); } }",
    "d": "import std.stdio, std.string, std.range, std.conv;\nvoid main() { writeln(readln().strip.retro.text); }",
    "go": 'package main\nimport "fmt"\nfunc main() { var s, r string; fmt.Scan(&s); for _, c := range s { r = string(c) + r }; '
    "fmt.Println(r) }",
    "java": "import java.util.*;\npublic class Main { public static void main(String[] words) { "
    "System.out.println(new StringBuilder(new Scanner(System.in).next()).reverse()); } }",
    "javascript": 'const s = require("fs").readFileSync(0, "utf8").trim(); console.log([...s].reverse().join(""))',
    "lua": "print(io.read():reverse())",
    "perl": 'chomp(my $s = <STDIN>); print scalar reverse($s), "\\n";',
    "php": "<?php echo strrev(trim(fgets(STDIN))), PHP_EOL;",
    "r": 's <- readLines(file("stdin"), 1); cat(paste(rev(strsplit(s, "")[[1]]), collapse = ""), "\\n", sep = "")',
    "racket": "#lang racket\n(displayln (list->string (reverse (string->list (read-line)))))",
    "ruby": "puts gets.chomp.reverse",
    "rust": "fn main() { let mut s = String::new(); std::io::stdin().read_line(&mut s).unwrap(); "
    'println!("{}", s.trim().chars().rev().collect::<String>()); }',
    "scala": "object Main { def main(words: Array[String]): Unit = println(scala.io.StdIn.readLine().reverse) }",
    "typescript": 'import { readFileSync } from "fs";\nconst s: string = readFileSync(0, "utf8").trim();\n'
    'console.log([...s].reverse().join(""));',
}
"""Programs that print their first line in reverse. SQL reads no input, and tests in Go and Java are no such programs."""

FAILS = {
    "bash": "[ 1 = 2 ] || exit 1",
    "c": "#include <assert.h>\nint main() { assert(1 == 2); }",
    "cpp": "#include <cassert>\nint main() { assert(1 == 2); }",
    "csharp": 'class P { static void Main() { if (1 + 1 != 3) throw new System.Exception("wrong"); } }',
    "d": "unittest { assert(1 == 2); }\nvoid main() { }",
    "go": 'package main\nfunc main() { panic("wrong") }',
    "go_test": 'package main\nimport "testing"\nfunc TestIt(t *testing.T) { t.Error("wrong") }',
    "java": "class Main { public static void main(String[] words) { assert words.length == 1; } }",
    "junit": "import static org.junit.jupiter.api.Assertions.*;\n"
    "class Tests { @org.junit.jupiter.api.Test void it() { assertEquals(1, 2); } }",
    "javascript": 'require("assert").strictEqual(1, 2)',
    "lua": "assert(1 == 2)",
    "perl": 'die "wrong" unless 1 == 2;',
    "php": "<?php assert(1 === 2);",
    "r": "stopifnot(1 == 2)",
    "racket": '#lang racket\n(unless (= 1 2) (error "wrong"))',
    "ruby": 'raise "wrong" unless 1 == 2',
    "rust": "fn main() { assert_eq!(1, 2); }",
    "scala": "object Main { def main(words: Array[String]): Unit = assert(1 == 2) }",
    "sql": "CREATE TABLE t (a INTEGER CHECK (a > 1)); INSERT INTO t VALUES (1);",
    "typescript": 'import assert from "assert";\nassert.strictEqual(1 as number, 2);',
}
"""Programs with an assertion that fails."""

BROKEN = {
    "bash": "if then fi",
    "junit": "class Tests { void it() { return 1; } }",
    "go": "package main\nfunc main() { var s string = 1 }",
    "typescript": "const a: = 1;",
    "sql": "SELEC 1;",
    "php": "<?php this is ( no program",
}
"""Programs that cannot be compiled. In the other languages it is a line of prose."""

LOOPS = {
    "bash": "while :; do :; done",
    "c": "int main() { for (volatile int i = 0;; i++); }",
    "cpp": "int main() { for (volatile int i = 0;; i++); }",
    "csharp": "class P { static void Main() { while (true) { } } }",
    "d": "void main() { while (true) { } }",
    "go": "package main\nfunc main() { for { } }",
    "go_test": 'package main\nimport "testing"\nfunc TestIt(t *testing.T) { for { } }',
    "java": "class Main { public static void main(String[] words) { while (true); } }",
    "junit": "class Tests { @org.junit.jupiter.api.Test void it() { while (true); } }",
    "javascript": "while (true);",
    "lua": "while true do end",
    "perl": "while (1) { }",
    "php": "<?php while (true);",
    "r": "while (TRUE) 1",
    "racket": "#lang racket\n(let loop () (loop))",
    "ruby": "loop { }",
    "rust": "fn main() { loop { } }",
    "scala": "object Main { def main(words: Array[String]): Unit = while (true) { } }",
    "sql": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n;",
    "typescript": "while (true);",
}
"""Programs that never end."""

BOMBS = {
    "bash": "x=xxxxxxxx; while :; do x=$x$x; done",
    "c": "#include <stdlib.h>\n#include <string.h>\nint main() { for (;;) memset(malloc(1 << 20), 1, 1 << 20); }",
    "cpp": "#include <vector>\nint main() { std::vector<long> v; for (;;) v.push_back(v.size()); }",
    "csharp": "using System.Collections.Generic;\nclass P { static void Main() { var l = new List<byte[]>(); "
    "while (true) { var b = new byte[1 << 20]; for (int i = 0; i < b.Length; i += 4096) b[i] = 1; l.Add(b); } } }",
    "d": "void main() { ubyte[][] l; while (true) { auto b = new ubyte[1 << 20]; b[] = 1; l ~= b; } }",
    "go": "package main\nfunc main() { var l [][]byte; for { b := make([]byte, 1<<20); "
    "for i := range b { b[i] = 1 }; l = append(l, b) } }",
    "go_test": 'package main\nimport "testing"\nfunc TestIt(t *testing.T) { var l [][]byte; for { b := make([]byte, 1<<20); '
    "for i := range b { b[i] = 1 }; l = append(l, b) } }",
    "java": "import java.util.*;\nclass Main { public static void main(String[] words) { List<byte[]> l = new ArrayList<>(); "
    "while (true) { byte[] b = new byte[1 << 20]; Arrays.fill(b, (byte) 1); l.add(b); } } }",
    "junit": "import java.util.*;\nclass Tests { @org.junit.jupiter.api.Test void it() { List<byte[]> l = new ArrayList<>(); "
    "while (true) { byte[] b = new byte[1 << 20]; Arrays.fill(b, (byte) 1); l.add(b); } } }",
    "javascript": "const l = []; while (true) l.push(Buffer.alloc(1 << 20, 1));",
    "lua": "local l = {} while true do l[#l + 1] = ('x'):rep(1 << 20) .. #l end",
    "perl": "my @l; push @l, 'x' x (1 << 20) . @l while 1;",
    "php": "<?php ini_set('memory_limit', -1); $l = []; while (true) $l[] = str_repeat('x', 1 << 20) . count($l);",
    "r": "l <- list(); while (TRUE) l[[length(l) + 1]] <- rep(1.5, 1e6)",
    "racket": "#lang racket\n(let loop ([l '()]) (loop (cons (make-bytes 1048576 1) l)))",
    "ruby": "l = []; loop { l << 'x' * (1 << 20) }",
    "rust": "fn main() { let mut l = vec![]; loop { l.push(vec![1u8; 1 << 20]); assert!(l[l.len() / 2][9] == 1); } }",
    "scala": "object Main { def main(words: Array[String]): Unit = { var l = List[Array[Byte]](); "
    "while (true) l = Array.fill(1 << 20)(1: Byte) :: l } }",
    "sql": "WITH RECURSIVE n(x, s) AS (SELECT 1, randomblob(1000000) UNION ALL SELECT x + 1, randomblob(1000000) FROM n) "
    "SELECT count(*) FROM (SELECT s FROM n ORDER BY s);",
    "typescript": "const l: Buffer[] = []; while (true) l.push(Buffer.alloc(1 << 20, 1));",
}
"""Programs that take more and more memory."""

FLOODS = {
    "bash": "yes",
    "c": '#include <stdio.h>\nint main() { for (;;) puts("yes"); }',
    "cpp": '#include <iostream>\nint main() { for (;;) std::cout << "yes\\n"; }',
    "csharp": 'class P { static void Main() { while (true) System.Console.WriteLine("yes"); } }',
    "d": 'import std.stdio;\nvoid main() { while (true) writeln("yes"); }',
    "go": 'package main\nimport "fmt"\nfunc main() { for { fmt.Println("yes") } }',
    "go_test": 'package main\nimport ("fmt"; "testing")\nfunc TestIt(t *testing.T) { for { fmt.Println("yes") } }',
    "java": 'class Main { public static void main(String[] words) { while (true) System.out.println("yes"); } }',
    "junit": 'class Tests { @org.junit.jupiter.api.Test void it() { while (true) System.out.println("yes"); } }',
    "javascript": 'while (true) require("fs").writeSync(1, "yes\\n");',
    "lua": "while true do print('yes') end",
    "perl": 'print "yes\\n" while 1;',
    "php": '<?php while (true) echo "yes\\n";',
    "r": 'while (TRUE) cat("yes\\n")',
    "racket": '#lang racket\n(let loop () (displayln "yes") (loop))',
    "ruby": 'loop { puts "yes" }',
    "rust": 'fn main() { loop { println!("yes"); } }',
    "scala": 'object Main { def main(words: Array[String]): Unit = while (true) println("yes") }',
    "sql": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT 'yes' FROM n;",
    "typescript": 'import { writeSync } from "fs";\nwhile (true) writeSync(1, "yes\\n");',
}
"""Programs that print without end."""

COPIES = {
    "bash": "cat SECRET",
    "c": '#include "SECRET"\nint main() { return 0; }',
    "cpp": '#include "SECRET"\nint main() { return 0; }',
    "csharp": 'class P { static void Main() { System.Console.Write(System.IO.File.ReadAllText("SECRET")); } }',
    "d": 'import std.stdio;\nvoid main() { write(import("SECRET")); }',
    "go": 'package main\nimport ("fmt"; _ "embed")\n//go:embed SECRET\nvar s string\nfunc main() { fmt.Print(s) }',
    "go_test": 'package main\nimport ("fmt"; "os"; "testing")\nfunc TestIt(t *testing.T) { '
    'b, _ := os.ReadFile("SECRET"); fmt.Print(string(b)) }',
    "java": "import java.nio.file.*;\nclass Main { public static void main(String[] words) throws Exception { "
    'System.out.print(Files.readString(Path.of("SECRET"))); } }',
    "junit": "import java.nio.file.*;\nclass Tests { @org.junit.jupiter.api.Test void it() throws Exception { "
    'System.out.print(Files.readString(Path.of("SECRET"))); } }',
    "javascript": 'console.log(require("SECRET"))',
    "lua": "dofile('SECRET')",
    "perl": "do 'SECRET' or die $!; require 'SECRET';",
    "php": "<?php include 'SECRET';",
    "r": 'source("SECRET")',
    "racket": '#lang racket\n(include (file "SECRET"))',
    "ruby": "load 'SECRET'",
    "rust": 'fn main() { print!("{}", include_str!("SECRET")); }',
    "scala": 'object Main { def main(words: Array[String]): Unit = print(scala.io.Source.fromFile("SECRET").mkString) }',
    "sql": ".read SECRET\nSELECT readfile('SECRET');\n.system cat SECRET",
    "typescript": 'import s from "SECRET";\nconsole.log(s);',
}
"""Programs that print the file SECRET, those with an includer while they are compiled."""

for _programs in (REVERSE, FAILS, LOOPS, BOMBS, FLOODS, COPIES):
    _programs["rust_2015"] = _programs["rust"]
