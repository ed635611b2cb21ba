package proof

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/require"
)

// patience is how long anything that must happen may take; a machine that tests several packages at once is slow.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	besideIfAsked()
	status := m.Run()
	os.RemoveAll(built)
	os.Exit(status)
}

// built is the folder of the program under test.
var built string

// program builds the command once, as a user would. Under the race detector it is built with it, so that a race in the
// command shows in its output and fails whoever ran it.
var program = sync.OnceValues(func() (path string, err error) {
	if built, err = os.MkdirTemp("", "sipeat-proof-"); err != nil {
		return "", err
	}
	path = filepath.Join(built, "sipeat")
	arguments := []string{"build", "-o", path}
	if raceDetector {
		arguments = append(arguments, "-race")
	}
	output, err := exec.Command("go", append(arguments, "github.com/sipeat/sipeat")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, output)
	}
	return path, nil
})

// command prepares a run of the program in an empty folder and with none of its settings in the environment.
func command(t testing.TB, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	require.NoError(t, err)
	c := exec.Command(path, arguments...)
	c.Dir = t.TempDir()
	c.Env = cleanEnvironment()
	return c
}

// cleanEnvironment has no setting of whoever runs the tests, and no port that somebody else may have.
func cleanEnvironment() []string {
	names := settings.Names()
	var kept []string
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "SIPEAT_") && !strings.HasPrefix(name, "KAFKA") && !strings.HasPrefix(name, "OTEL_") {
			kept = append(kept, setting)
		}
	}
	return append(kept, "SIPEAT_HTTP=127.0.0.1:0", "SIPEAT_KAFKA=127.0.0.1:0",
		"AWS_EC2_METADATA_DISABLED=true") // whose credentials would it find?
}

// result is how a run ended.
type result struct {
	status         int
	stdout, stderr string
	took           time.Duration
}

// run runs the program to its end.
func run(t testing.TB, stdin string, arguments ...string) result {
	t.Helper()
	return finish(t, command(t, arguments...), stdin)
}

func finish(t testing.TB, c *exec.Cmd, stdin string) result {
	t.Helper()
	return finishIn(t, patience, c, stdin)
}

func finishIn(t testing.TB, patience time.Duration, c *exec.Cmd, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	started := time.Now()
	require.NoError(t, c.Start())
	timer := time.AfterFunc(patience, func() { c.Process.Kill() })
	err := c.Wait()
	require.True(t, timer.Stop(), "%v did not end\n%s%s", c.Args, stdout.String(), stderr.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	noRace(t, stderr.String())
	return result{c.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(started)}
}

func noRace(t testing.TB, stderr string) {
	t.Helper()
	require.NotContains(t, stderr, "DATA RACE")
}

// process is a run of the program that goes on.
type process struct {
	t              testing.TB
	cmd            *exec.Cmd
	stdout, stderr *transcript
	ended          chan struct{} // closed when it has
}

// start starts a prepared command; whatever is left of it when the test ends is killed.
func start(t testing.TB, c *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: c, stdout: &transcript{}, stderr: &transcript{}, ended: make(chan struct{})}
	c.Stdout = p.stdout
	if c.Stderr == nil {
		c.Stderr = p.stderr
	}
	require.NoError(t, c.Start())
	go func() {
		c.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%v wrote:\n%s\n%s", c.Args, shortened(p.stdout.String(), 3), shortened(p.stderr.String(), 20))
		}
		noRace(t, p.stderr.String())
	})
	return p
}

// shortened is the end of a text, without the log of what went well.
func shortened(text string, n int) string {
	kept := slices.DeleteFunc(lines(text), func(line string) bool {
		return strings.Contains(line, "level=INFO") || strings.Contains(line, `"level":"INFO"`)
	})
	return strings.Join(kept[max(0, len(kept)-n):], "\n")
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// kill is kill -9.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.ended
}

// wait waits for its end and returns the exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the process did not end", "%s%s", p.stdout, p.stderr)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// says waits until the process has written text there.
func (p *process) says(to *transcript, text string) {
	p.t.Helper()
	until(p.t, func() error {
		if strings.Contains(to.String(), text) {
			return nil
		}
		if !p.running() && !strings.Contains(to.String(), text) {
			p.t.Fatalf("the process ended without %q:\n%s%s", text, p.stdout, p.stderr)
		}
		return fmt.Errorf("%q is not among:\n%s", text, to)
	})
}

// transcript is what a process writes, while it writes.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// until asks again until there is no error, for as long as patience lasts.
func until(t testing.TB, ask func() error) {
	t.Helper()
	untilIn(t, patience, ask)
}

func untilIn(t testing.TB, patience time.Duration, ask func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.FailNow(t, "it did not come about in "+patience.String(), "%v", err)
		}
	}
}
