package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../../.." // of the project

// Output of README's commands. A command that is in neither table fails the test: add it.
var (
	playedHere = map[string]string{
		"go run . help":               "sipeat serve",
		"go run . version":            "sipeat ",
		"go run . publish":            "published 2, refused 0",
		"go run . tail":               "ada@example.com",
		"go run . invoke":             "202 Accepted",
		"go run . sample":             `"eventSource":"aws:kafka"`,
		"go run . docs":               `"openapi": "3.1.1"`,
		"go run . completion":         "__start_sipeat",
		"curl -i http":                "202 Accepted",
		"curl http://*/contacts":      "Ada Lovelace",
		"curl http://*/notifications": "New contact: Ada Lovelace",
	}
	playedInCI = map[string]string{ // and the text in .ci/run, or in a test, that runs it
		"go test ./...":             "go test -count=1 -v ./...",
		"make integration":          "make integration",
		"make lint":                 "make lint",
		"make vuln":                 "make vuln",
		"make retracted":            "make retracted",
		"make race":                 "go test -race",
		"make test":                 "go test -count=1 -v ./...",
		"make bench":                "", // figures without a pass or fail
		"make bench-compare":        "",
		"make faults":               "make faults",
		"make faults-serve":         "", // minutes; shared/local cuts the power of the broker in go test
		"make faults-long":          "", // hours of what make faults does for minutes
		"make faults-check":         "",
		"make faults-mutants":       "", // a quarter of an hour; the judge has its own tests
		"make faults-serve-mutants": "",
		"make help":                 "",
		"make up":                   "make up",
		"make down":                 "make down VOLUMES=1",
		"make containers":           "make containers",
		"make sam-local":            "make sam-local",
		"make settings":             `"settings")`,
		"make topics":               `"topics")`,
		"make logs":                 `"logs"`,
		"make worker-build":         `"worker-build")`,
		"make worker-start":         `"worker-start")`,
		"make worker-dev":           `"worker-dev")`,
		"make build":                "make build",
		"make validate":             "make validate",
		"make template":             "go test -count=1 -v ./...", // a test compares
		"make deploy":               `c.make("deploy")`,
	}
)

func source(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(text)
}

func TestEveryCommandInREADMEWorks(t *testing.T) {
	t.Parallel()
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(source(t, "README.md"), -1)
	require.NotEmpty(t, blocks)
	var s *Serving
	for _, block := range blocks {
		for _, command := range Lines(block[1]) {
			switch {
			case strings.TrimSpace(command) == "" || strings.HasPrefix(command, "#"):
			case strings.HasPrefix(command, "go run . serve"):
				s = serveFromSource(t, command)
			case prefixIn(playedInCI, command) == "":
				begin := prefixIn(playedHere, command)
				require.NotEmpty(t, begin, "no test runs %q", command)
				require.NotNil(t, s, "%q stands before `go run . serve`", command)
				s.play(command, playedHere[begin])
			}
		}
	}
	played := source(t, ".ci", "run")
	for _, file := range []string{"containers/docker_test.go", "containers/dock_test.go", "containers/sam_test.go",
		"program/makefile_test.go"} {
		played += source(t, "shared", "proof", file)
	}
	for command, there := range playedInCI {
		assert.Contains(t, played, there, "CI does not run %q", command)
	}
	for _, target := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(source(t, "Makefile"), -1) {
		assert.Contains(t, playedInCI, "make "+target[1])
	}
}

// prefixIn returns the table's key that the command begins with; a * in a key stands for the address.
func prefixIn(table map[string]string, command string) string {
	command = strings.Replace(command, "127.0.0.1:8080", "*", 1)
	for begin := range table {
		if command == begin || strings.HasPrefix(command, begin) && !strings.Contains(begin, "*") {
			return begin
		}
	}
	return ""
}

// serveFromSource runs the command unchanged in a shell, with free ports and a folder from the environment.
func serveFromSource(t *testing.T, line string) *Serving {
	t.Helper()
	c := exec.Command("sh", "-c", line)
	c.Dir = root
	c.Env = append(CleanEnvironment(), "SIPEAT_HTTP=127.0.0.1:0", "SIPEAT_KAFKA=127.0.0.1:0", "SIPEAT_DATA="+t.TempDir())
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C, too, is for the whole group
	s := &Serving{Process: Start(t, c)}
	t.Cleanup(func() {
		assert.NoError(t, syscall.Kill(-c.Process.Pid, syscall.SIGINT))
		s.Wait()
		assert.Contains(t, s.Stderr.String(), "ending broker")
	})
	s.Ready()
	return s
}

// play runs a command of README with other addresses and with the program built once.
func (s *Serving) play(line, shows string) {
	s.T.Helper()
	path, err := Program()
	require.NoError(s.T, err)
	line = strings.ReplaceAll(line, "http://127.0.0.1:8080", s.URL)
	line = strings.Replace(line, "go run .", path, 1)
	Until(s.T, func() error { // reads lag writes
		c := exec.Command("sh", "-c", line)
		if strings.HasPrefix(line, "curl ") {
			c.Args[2] += " -sS -f"
		}
		c.Dir = root
		c.Env = append(CleanEnvironment(), "KAFKA_BROKERS="+s.Kafka)
		out, err := c.CombinedOutput()
		if !strings.Contains(string(out), shows) {
			err = errors.Join(err, fmt.Errorf("%s shows no %q:\n%s", line, shows, out))
		}
		return err
	})
}

// The tests that the table of promises names must exist.
func TestPromisesNameTheirTests(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			there[f[1]] = true
		}
		return err
	}))
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(source(t, "shared", "proof", "README.md"), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		assert.True(t, there[name[1]], name[1])
	}
}

func TestLinksAndTargetsInREADMEExist(t *testing.T) {
	t.Parallel()
	text := source(t, "README.md")
	assert.Less(t, strings.Count(text, "\n"), 240)
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(link[1], "://") {
			_, err := os.Stat(filepath.Join(root, link[1]))
			assert.NoError(t, err)
		}
	}
	for _, target := range regexp.MustCompile("`make ([a-z-]+)[` ]").FindAllStringSubmatch(text, -1) {
		assert.Regexp(t, `(?m)^`+target[1]+`:`, source(t, "Makefile"))
		assert.Contains(t, playedInCI, "make "+target[1])
	}
}
