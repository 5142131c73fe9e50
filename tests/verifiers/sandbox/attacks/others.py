"""Each piece is a program that tries a few attacks with the means of its language, and then runs `attack.sh` beside it.

It prints "TRIED name" for each attack, and before that "THROUGH name" if the attack reached something outside of its run.
"""

NAMES = (
    "read a secret file",
    "write where programs are kept",
    "see a secret of the environment",
    "connect to a server of this machine",
)
"""The attacks that each program tries by itself."""

PROGRAMS = {
    "csharp": """
using System; using System.Diagnostics; using System.IO; using System.Net.Sockets;
class P {
  static void Try(string name, Func<bool> attack) {
    bool through = false;
    try { through = attack(); } catch { }
    Console.Write((through ? "THROUGH " + name + "\\n" : "") + "TRIED " + name + "\\n");
  }
  static void Main() {
    Try("read a secret file", () => File.ReadAllText("SECRET").Length > 0);
    Try("write where programs are kept", () => { File.WriteAllText("/usr/bin/owned", "x"); return true; });
    Try("see a secret of the environment", () => Environment.GetEnvironmentVariable("TENFOLD_TEST_SECRET") != null);
    Try("connect to a server of this machine", () => new TcpClient("127.0.0.1", PORT).Connected);
    Console.Out.Flush();
    Process.Start(new ProcessStartInfo("bash", "attack.sh") { UseShellExecute = false }).WaitForExit();
  }
}
""",
    "d": """
import std.stdio, std.file, std.process, std.socket;
void attempt(string name, bool delegate() attack) {
  bool through = false;
  try { through = attack(); } catch (Exception e) { }
  if (through) writeln("THROUGH ", name);
  writeln("TRIED ", name);
}
void main() {
  attempt("read a secret file", () => readText("SECRET").length > 0);
  attempt("write where programs are kept", { std.file.write("/usr/bin/owned", "x"); return true; });
  attempt("see a secret of the environment", () => environment.get("TENFOLD_TEST_SECRET") !is null);
  attempt("connect to a server of this machine", { new TcpSocket(new InternetAddress("127.0.0.1", PORT)); return true; });
  stdout.flush();
  wait(spawnProcess(["bash", "attack.sh"]));
}
""",
    "go": """
package main
import ("fmt"; "net"; "os"; "os/exec")
func try(name string, through bool) {
  if through { fmt.Println("THROUGH " + name) }
  fmt.Println("TRIED " + name)
}
func main() {
  _, err := os.ReadFile("SECRET")
  try("read a secret file", err == nil)
  try("write where programs are kept", os.WriteFile("/usr/bin/owned", []byte("x"), 0644) == nil)
  try("see a secret of the environment", os.Getenv("TENFOLD_TEST_SECRET") != "")
  _, err = net.Dial("tcp", "127.0.0.1:PORT")
  try("connect to a server of this machine", err == nil)
  shell := exec.Command("bash", "attack.sh")
  shell.Stdout = os.Stdout
  shell.Run()
}
""",
    "java": """
import java.nio.file.*;
import java.util.concurrent.Callable;
class Main {
  static void attempt(String name, Callable<Boolean> attack) {
    boolean through = false;
    try { through = attack.call(); } catch (Exception e) { }
    System.out.print((through ? "THROUGH " + name + "\\n" : "") + "TRIED " + name + "\\n");
  }
  public static void main(String[] words) throws Exception {
    attempt("read a secret file", () -> Files.readString(Path.of("SECRET")).length() > 0);
    attempt("write where programs are kept", () -> { Files.writeString(Path.of("/usr/bin/owned"), "x"); return true; });
    attempt("see a secret of the environment", () -> System.getenv("TENFOLD_TEST_SECRET") != null);
    attempt("connect to a server of this machine", () -> { new java.net.Socket("127.0.0.1", PORT); return true; });
    System.out.flush();
    new ProcessBuilder("bash", "attack.sh").inheritIO().start().waitFor();
  }
}
""",
    "lua": """
local function try(name, through) if through then print("THROUGH " .. name) end print("TRIED " .. name) end
try("read a secret file", io.open("SECRET"))
try("write where programs are kept", io.open("/usr/bin/owned", "w"))
try("see a secret of the environment", os.getenv("TENFOLD_TEST_SECRET"))
try("connect to a server of this machine", pcall(function() require("socket").connect("127.0.0.1", PORT):close() end))
io.stdout:flush()
os.execute("bash attack.sh")
""",
    "perl": """
use IO::Socket::INET;
$| = 1;
sub try { my ($name, $through) = @_; print "THROUGH $name\\n" if $through; print "TRIED $name\\n"; }
try("read a secret file", open(my $a, "<", "SECRET"));
try("write where programs are kept", open(my $b, ">", "/usr/bin/owned"));
try("see a secret of the environment", defined $ENV{TENFOLD_TEST_SECRET});
try("connect to a server of this machine", defined IO::Socket::INET->new("127.0.0.1:PORT"));
system("bash", "attack.sh");
""",
    "php": """<?php
function attempt($name, $through) { if ($through) echo "THROUGH $name\\n"; echo "TRIED $name\\n"; }
attempt("read a secret file", @file_get_contents("SECRET"));
attempt("write where programs are kept", @file_put_contents("/usr/bin/owned", "x"));
attempt("see a secret of the environment", getenv("TENFOLD_TEST_SECRET"));
attempt("connect to a server of this machine", @fsockopen("127.0.0.1", PORT));
passthru("bash attack.sh");
""",
    "r": """
works <- function(step) tryCatch(suppressWarnings({ step(); TRUE }), error = function(e) FALSE)
try_it <- function(name, through) cat(if (through) paste0("THROUGH ", name, "\\n"), "TRIED ", name, "\\n", sep = "")
try_it("read a secret file", works(function() readLines("SECRET")))
try_it("write where programs are kept", works(function() writeLines("x", "/usr/bin/owned")))
try_it("see a secret of the environment", Sys.getenv("TENFOLD_TEST_SECRET") != "")
try_it("connect to a server of this machine", works(function() socketConnection("127.0.0.1", PORT, timeout = 5)))
system2("bash", "attack.sh")
""",
    "racket": """#lang racket
(define (try name attack)
  (when (with-handlers ([void (lambda (e) #f)]) (attack)) (printf "THROUGH ~a\\n" name))
  (printf "TRIED ~a\\n" name))
(try "read a secret file" (lambda () (file->string "SECRET")))
(try "write where programs are kept" (lambda () (display-to-file "x" "/usr/bin/owned") #t))
(try "see a secret of the environment" (lambda () (getenv "TENFOLD_TEST_SECRET")))
(try "connect to a server of this machine" (lambda () (tcp-connect "127.0.0.1" PORT) #t))
(flush-output)
(system "bash attack.sh")
""",
    "ruby": """
require "socket"
$stdout.sync = true
def try(name)
  through = begin yield rescue false end
  puts "THROUGH #{name}" if through
  puts "TRIED #{name}"
end
try("read a secret file") { File.read("SECRET") }
try("write where programs are kept") { File.write("/usr/bin/owned", "x") }
try("see a secret of the environment") { ENV["TENFOLD_TEST_SECRET"] }
try("connect to a server of this machine") { TCPSocket.new("127.0.0.1", PORT) }
system("bash", "attack.sh")
""",
    "rust": """
use std::{env, fs, net, process};
fn attempt(name: &str, through: bool) {
    if through { println!("THROUGH {}", name); }
    println!("TRIED {}", name);
}
fn main() {
    attempt("read a secret file", fs::read("SECRET").is_ok());
    attempt("write where programs are kept", fs::write("/usr/bin/owned", "x").is_ok());
    attempt("see a secret of the environment", env::var("TENFOLD_TEST_SECRET").is_ok());
    attempt("connect to a server of this machine", net::TcpStream::connect("127.0.0.1:PORT").is_ok());
    process::Command::new("bash").arg("attack.sh").status().unwrap();
}
""",
    "scala": """
import scala.util.Try
import java.nio.file._
object Main {
  def attempt(name: String, through: Boolean): Unit = {
    if (through) println("THROUGH " + name)
    println("TRIED " + name)
  }
  def main(words: Array[String]): Unit = {
    attempt("read a secret file", Try(Files.readAllBytes(Paths.get("SECRET"))).isSuccess)
    attempt("write where programs are kept", Try(Files.write(Paths.get("/usr/bin/owned"), Array[Byte](1))).isSuccess)
    attempt("see a secret of the environment", sys.env.contains("TENFOLD_TEST_SECRET"))
    attempt("connect to a server of this machine", Try(new java.net.Socket("127.0.0.1", PORT)).isSuccess)
    Console.flush()
    new ProcessBuilder("bash", "attack.sh").inheritIO().start().waitFor()
  }
}
""",
    "sql": """
SELECT 'THROUGH read a secret file' WHERE length(readfile('SECRET')) > 0;
SELECT 'TRIED read a secret file';
SELECT 'THROUGH write where programs are kept' WHERE writefile('/usr/bin/owned', 'x') IS NOT NULL;
SELECT 'TRIED write where programs are kept';
SELECT 'TRIED see a secret of the environment';
SELECT 'TRIED connect to a server of this machine';
.system bash attack.sh
""",
    "typescript": """
import * as fs from "fs";
import * as net from "net";
import { spawnSync } from "child_process";
const attempts: { [name: string]: () => unknown } = {
  "read a secret file": () => fs.readFileSync("SECRET"),
  "write where programs are kept": () => { fs.writeFileSync("/usr/bin/owned", "x"); return true; },
  "see a secret of the environment": () => process.env.TENFOLD_TEST_SECRET,
  "connect to a server of this machine": () => new Promise<boolean>(told => {
    const one = net.connect(PORT, "127.0.0.1", () => told(true));
    one.on("error", () => told(false));
  }),
};
(async () => {
  for (const [name, attempt] of Object.entries(attempts)) {
    let through: unknown = false;
    try { through = await attempt(); } catch { }
    fs.writeSync(1, (through ? `THROUGH ${name}\\n` : "") + `TRIED ${name}\\n`);
  }
  spawnSync("bash", ["attack.sh"], { stdio: "inherit" });
  process.exit(0);
})();
""",
}
"""SECRET is a file of this machine, PORT that of a server on it."""
