"""The languages other than Python: how a program in each of them is built and run.

A language is data. Commands run in the folder of the program, which is empty at the start of every run and deleted at its end.
Compilers keep their caches in this folder, so no run can change what another run compiles with. The commands are those of
Debian 12; a language works if its commands are in /usr/bin and its smallest program runs in the sandbox.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Language:
    """How a program in one language is built and run.

    In commands and in `environment`, `{heap}` stands for three quarters of the run's memory, in MiB, and `{main}` for the name
    that `main` finds in the source.
    """

    file: str
    """Name of the source file."""
    needs: str
    """Commands and files that must be installed, separated by spaces; a command must be in /usr/bin or /bin."""
    run: str
    """Command that runs the program, in the folder of the source file."""
    build: str = ""
    """Command that builds the program first; empty if none is needed."""
    packages: str = ""
    """Debian packages that bring what it needs, separated by spaces."""
    smallest: str = ""
    """The smallest program. It tests whether the language works."""
    version: str = ""
    """Command that prints the version of the toolchain."""
    main: str = ""
    """Regular expression whose first group is the name that starts the program; empty if the source does not decide it."""
    settings: tuple[str, ...] = ()
    """Patterns of files in /etc that its commands read. They become visible to the programs of every language."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its commands."""
    processes: int = 0
    """Smallest limit on processes and threads with which its commands work; a lower limit is raised to it."""
    disk: int = 0
    """Smallest limit on bytes of files with which its commands work; a lower limit is raised to it."""
    build_seconds: float = 0.0
    """Smallest limit on the build: on its wall time, and on the processor time of each of its processes."""


_JVM = "-Xmx{heap}m -XX:+UseSerialGC -XX:-UsePerfData -XX:-UseContainerSupport -XX:ActiveProcessorCount=2"
"""Options of the Java machine: few threads, no files in /tmp, and no search for the control group, which is not visible."""
_JAVAC = " ".join(f"-J{option}" for option in f"{_JVM} -XX:TieredStopAtLevel=1".split())
_JAVA_SETTINGS = ("/etc/java-*/jvm-*.cfg", "/etc/java-*/security/java.security")
_JUNIT_CLASSES = ".:" + ":".join(
    f"/usr/share/java/{name}.jar"
    for name in (
        *("junit-jupiter-api", "junit-jupiter-engine", "junit-jupiter-params", "junit-platform-commons", "junit4"),
        *("junit-platform-console", "junit-platform-engine", "junit-platform-launcher", "junit-platform-reporting"),
        *("junit-vintage-engine", "opentest4j", "opentest4j-reporting-events", "opentest4j-reporting-schema", "picocli"),
        *("apiguardian-api", "univocity-parsers", "hamcrest"),
    )
)
_GO = {"GOFLAGS": "-p=2", "GOMAXPROCS": "2", "GOPROXY": "off", "GOTOOLCHAIN": "local", "GO111MODULE": "off", "CGO_ENABLED": "0"}
_SCALA_CLASSES = "/usr/share/java/scala-library.jar"
_PHP = " ".join(f"-d extension={name}" for name in ("calendar", "ctype", "iconv", "posix", "tokenizer"))
"""Extensions that each PHP of Debian has. The machine's settings, which would load them, may contain passwords."""

LANGUAGES = {
    "bash": Language("main.sh", "bash", "bash main.sh", packages="bash", version="bash --version"),
    "c": Language(
        "main.c",
        "gcc",
        "./main",
        "gcc -O2 -std=c17 -o main main.c -lm",
        packages="gcc libc6-dev",
        smallest="int main(void) { return 0; }",
        version="gcc -dumpfullversion",
        build_seconds=20,
    ),
    "cpp": Language(
        "main.cpp",
        "g++",
        "./main",
        "g++ -O2 -std=c++20 -o main main.cpp",
        packages="g++",
        smallest="#include <string>\nint main() { return 0; }",
        version="g++ -dumpfullversion",
        build_seconds=20,
    ),
    "csharp": Language(
        "main.cs",
        "mcs mono",
        "mono main.exe",
        "mcs -langversion:latest -out:main.exe main.cs",
        packages="mono-mcs",
        smallest="class Smallest { static void Main() { } }",
        version="mcs --version",
        settings=("/etc/mono/config", "/etc/mono/4.5/machine.config"),
        processes=32,
        build_seconds=20,
    ),
    "d": Language(
        "main.d",
        "ldc2",
        "./main",
        "ldc2 -unittest -of=main main.d",
        packages="ldc",
        smallest="void main() { }",
        version="ldc2 --version",
        settings=("/etc/ldc2.conf",),
        build_seconds=20,
    ),
    "go": Language(
        "main.go",
        "go",
        "./main",
        "go build -o main main.go",
        packages="golang-go",
        smallest="package main\nfunc main() { }",
        version="go version",
        environment=_GO,
        processes=64,
        disk=256 << 20,
        build_seconds=50,
    ),
    "java": Language(
        "Main.java",
        "javac java",
        f"java {_JVM} -ea -cp . Main",
        f"javac {_JAVAC} Main.java",
        packages="default-jdk-headless",
        smallest="class Main { public static void main(String[] words) { } }",
        version="java -version",
        settings=_JAVA_SETTINGS,
        processes=64,
        build_seconds=20,
    ),
    "javascript": Language("main.js", "node", "node main.js", packages="nodejs", version="node --version"),
    "junit": Language(
        "Tests.java",
        "javac java /usr/share/java/junit-platform-console.jar /usr/share/java/junit-jupiter-engine.jar",
        f"java {_JVM} -ea -cp {_JUNIT_CLASSES} org.junit.platform.console.ConsoleLauncher --scan-class-path . "
        "--include-classname=.* --fail-if-no-tests --disable-banner --details=tree --disable-ansi-colors",
        f"bash -c 'javac {_JAVAC} -cp {_JUNIT_CLASSES} *.java'",
        packages="default-jdk-headless junit5",
        smallest="class Tests { @org.junit.jupiter.api.Test void passes() { } }",
        version="java -version",
        settings=_JAVA_SETTINGS,
        processes=64,
        build_seconds=50,
    ),
    "lua": Language("main.lua", "lua", "lua main.lua", packages="lua5.4", version="lua -v"),
    "perl": Language("main.pl", "perl", "perl main.pl", packages="perl", version="perl -e 'print $^V'"),
    "php": Language("main.php", "php", f"php -n {_PHP} -f main.php", packages="php-cli", version="php -n --version"),
    "r": Language(
        "main.R",
        "Rscript",
        "Rscript main.R",
        packages="r-base-core",
        version="Rscript --version",
        settings=("/etc/R/ldpaths", "/etc/R/Renviron"),
    ),
    "racket": Language(
        "main.rkt",
        "racket",
        "racket main.rkt",
        packages="racket",
        smallest="#lang racket/base",
        version="racket --version",
        settings=("/etc/racket/config.rktd",),
    ),
    "ruby": Language("main.rb", "ruby", "ruby main.rb", packages="ruby", version="ruby --version"),
    "rust": Language(
        "main.rs",
        "rustc",
        "./main",
        "rustc -O --edition=2021 -o main main.rs",
        packages="rustc",
        smallest="fn main() { }",
        version="rustc --version",
        processes=64,
        disk=64 << 20,
        build_seconds=20,
    ),
    "scala": Language(
        "main.scala",
        f"scalac java {_SCALA_CLASSES}",
        f"java {_JVM} -cp .:{_SCALA_CLASSES} {{main}}",
        "scalac -d . main.scala",
        packages="scala default-jre-headless",
        smallest="object Smallest { def main(words: Array[String]): Unit = { } }",
        version="scalac -version",
        # The first object with a main method, also if another object or a comment with this word is before it.
        main=r"(?s)\bobject\s++(\w++)(?=(?:(?!\bobject\s).)*?(?:\bdef\s+main\b|\bextends\s+App\b))",
        settings=_JAVA_SETTINGS,
        environment={"JAVA_OPTS": f"{_JVM} -XX:TieredStopAtLevel=1"},
        processes=64,
        build_seconds=50,
    ),
    "sql": Language(
        "main.sql", "sqlite3", "sqlite3 -batch -bail :memory: '.read main.sql'", packages="sqlite3", version="sqlite3 -version"
    ),
    "typescript": Language(
        "main.ts",
        "esbuild node",
        "node main.js",
        "esbuild main.ts --log-level=error --format=cjs --platform=node --target=node18 --outfile=main.js",
        packages="esbuild nodejs",
        version="esbuild --version",
        environment={"GOMAXPROCS": "2"},
        processes=32,
        build_seconds=20,
    ),
}
LANGUAGES["go_test"] = replace(
    LANGUAGES["go"],
    file="main_test.go",
    build="go test -c -o main main_test.go",
    smallest='package main\nimport "testing"\nfunc TestNothing(t *testing.T) { }',
)
"""Go's tests, which run instead of a main function."""
LANGUAGES["rust_2015"] = replace(LANGUAGES["rust"], build="rustc -o main main.rs")
"""Rust without options, as FullStack-Bench compiles it: the edition of 2015, with checks for overflow."""
