package program

import (
	"errors"
	"fmt"
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

const root = "../../.." // of the project, where a reader of README stands

// What README's commands show. A command that is in none of these tables fails the test: it is to be added here.
var (
	playedHere = map[string]string{
		"go run . help":               "sipeat serve",
		"go run . version":            "sipeat ",
		"go run . publish":            "published 2, refused 0",
		"go run . tail":               "ada@example.com",
		"go run . invoke":             "202 Accepted",
		"go run . sample":             `"eventSource":"aws:kafka"`,
		"go run . completion":         "__start_sipeat",
		"curl -i http":                "202 Accepted",
		"curl http://*/contacts":      "Ada Lovelace",
		"curl http://*/notifications": "New contact: Ada Lovelace",
	}
	playedInCI = map[string]string{ // and how it stands in .ci/run, or in a test that it runs
		"go test ./...":     "go test -count=1 -v ./...",
		"make integration":  "make integration",
		"make lint":         "make lint",
		"make vuln":         "make vuln",
		"make retracted":    "make retracted",
		"make race":         "go test -race",
		"make test":         "go test -count=1 -v ./...",
		"make bench":        "", // figures, which nobody passes or fails
		"make help":         "",
		"make up":           "make up",
		"make down":         "make down VOLUMES=1",
		"make containers":   "make containers",
		"make sam-local":    "make sam-local",
		"make settings":     `"settings")`,
		"make topics":       `"topics")`,
		"make logs":         `"logs"`,
		"make worker-build": `"worker-build")`,
		"make worker-start": `"worker-start")`,
		"make worker-dev":   `"worker-dev")`,
		"make build":        "make build",
		"make validate":     "make validate",
		"make template":     "go test -count=1 -v ./...", // which compares
		"make deploy":       `c.make("deploy")`,
	}
)

func source(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(text)
}

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	return string(text)
}

func TestEveryCommandInREADMEWorks(t *testing.T) {
	t.Parallel()
	ci, err := os.ReadFile(filepath.Join(root, ".ci", "run"))
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	require.NotEmpty(t, blocks)
	var s *Serving
	for _, block := range blocks {
		for _, command := range Lines(block[1]) {
			switch {
			case strings.TrimSpace(command) == "" || strings.HasPrefix(command, "#"):
			case strings.HasPrefix(command, "go run . serve"):
				s = serveFromSource(t, command)
			case !startsIn(playedInCI, command):
				shows, known := lookUp(playedHere, command)
				require.True(t, known, "nobody plays %q", command)
				require.NotNil(t, s, "%q stands before `go run . serve`", command)
				s.play(command, shows)
			}
		}
	}
	played := string(ci) + source(t, "shared", "proof", "containers", "docker_test.go") + source(t, "shared", "proof", "containers", "dock_test.go") +
		source(t, "shared", "proof", "makefile", "deploy_test.go") + source(t, "shared", "proof", "containers", "sam_test.go")
	for command, there := range playedInCI {
		assert.Contains(t, played, there, "CI does not play %q", command)
	}
	for _, target := range regexp.MustCompile(`(?m)^([a-z-]+):.*## `).FindAllStringSubmatch(source(t, "Makefile"), -1) {
		assert.Contains(t, playedInCI, "make "+target[1])
	}
}

// lookUp finds the entry for a command; a * in it stands for the address.
func lookUp(table map[string]string, command string) (string, bool) {
	command = strings.Replace(command, "127.0.0.1:8080", "*", 1)
	for begin, shows := range table {
		if command == begin || strings.HasPrefix(command, begin) && !strings.Contains(begin, "*") {
			return shows, true
		}
	}
	return "", false
}

func startsIn(table map[string]string, command string) bool {
	_, found := lookUp(table, command)
	return found
}

// serveFromSource runs the command as it stands, in a shell, with free ports and a folder from the environment.
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

// play runs a command as it stands but for the addresses, and for the program, which is built once.
func (s *Serving) play(line, shows string) {
	s.T.Helper()
	path, err := Program()
	require.NoError(s.T, err)
	line = strings.ReplaceAll(line, "http://127.0.0.1:8080", s.URL)
	line = strings.Replace(line, "go run .", path, 1)
	Until(s.T, func() error { // reads lag writes
		c := exec.Command("sh", "-c", line)
		if strings.HasPrefix(line, "curl ") {
			if _, err := exec.LookPath("curl"); err != nil {
				return s.curl(line, shows)
			}
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

// curl does what the command would where there is none.
func (s *Serving) curl(line, shows string) error {
	parts := regexp.MustCompile(`^curl (?:-i )?(\S+)(?: -H '([^']+)' -d '([^']+)')?$`).FindStringSubmatch(line)
	require.NotNil(s.T, parts, line)
	if parts[3] != "" {
		return errorUnless(Call(s.T, "POST", parts[1], parts[3], parts[2]).Status == 202, line)
	}
	return errorUnless(strings.Contains(Call(s.T, "GET", parts[1], "").Body, shows), line)
}

func errorUnless(ok bool, what string) error {
	if ok {
		return nil
	}
	return errors.New(what)
}

func TestREADMELeadsSomewhere(t *testing.T) {
	t.Parallel()
	text := readme(t)
	assert.Less(t, strings.Count(text, "\n"), 220)
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(link[1], "://") {
			_, err := os.Stat(filepath.Join(root, link[1]))
			assert.NoError(t, err)
		}
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for _, target := range regexp.MustCompile("`make ([a-z-]+)[` ]").FindAllStringSubmatch(text, -1) {
		assert.Regexp(t, `(?m)^`+target[1]+`:`, string(makefile))
		assert.Contains(t, playedInCI, "make "+target[1])
	}
}
