// Package program runs the sipeat command as its users do: tests of other packages start it, and those here are its black-box tests.
package program

import (
	"bytes"
	"context"
	"errors"
	"flag"
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
const Patience = 60 * time.Second

// Main runs the tests of a package, and removes what they built. They mostly wait for processes, so more of them run side by side than there
// are CPUs.
func Main(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("6")
	}
	status := m.Run()
	_ = os.RemoveAll(Built)
	os.Exit(status)
}

// Built is the folder of the program under test.
var Built string

// program builds the command once, as a user would. Under the race detector it is built with it, so that a race in the
// command shows in its output and fails whoever ran it.
var Program = sync.OnceValues(func() (path string, err error) {
	if Built, err = os.MkdirTemp("", "sipeat-proof-"); err != nil {
		return "", err
	}
	path = filepath.Join(Built, "sipeat")
	arguments := []string{"build", "-o", path}
	if RaceDetector {
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
	path, err := Program()
	require.NoError(t, err)
	c := exec.Command(path, arguments...)
	c.Dir = t.TempDir()
	c.Env = CleanEnvironment()
	return c
}

// cleanEnvironment has no setting of whoever runs the tests, and no port that somebody else may have.
func CleanEnvironment() []string {
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
type Result struct {
	Status         int
	Stdout, Stderr string
	Took           time.Duration
}

// run runs the program to its end.
func Run(t testing.TB, stdin string, arguments ...string) Result {
	t.Helper()
	return Finish(t, command(t, arguments...), stdin)
}

func Finish(t testing.TB, c *exec.Cmd, stdin string) Result {
	t.Helper()
	return FinishIn(t, Patience, c, stdin)
}

func FinishIn(t testing.TB, patience time.Duration, c *exec.Cmd, stdin string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	started := time.Now()
	require.NoError(t, c.Start())
	timer := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	err := c.Wait()
	require.True(t, timer.Stop(), "%v did not end\n%s%s", c.Args, stdout.String(), stderr.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	noRace(t, stderr.String())
	return Result{c.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(started)}
}

func noRace(t testing.TB, stderr string) {
	t.Helper()
	require.NotContains(t, stderr, "DATA RACE")
}

// process is a run of the program that goes on.
type Process struct {
	T              testing.TB
	Cmd            *exec.Cmd
	Stdout, Stderr *Transcript
	Ended          chan struct{} // closed when it has
}

// start starts a prepared command; whatever is left of it when the test ends is killed.
func Start(t testing.TB, c *exec.Cmd) *Process {
	t.Helper()
	p := &Process{T: t, Cmd: c, Stdout: &Transcript{}, Stderr: &Transcript{}, Ended: make(chan struct{})}
	c.Stdout = p.Stdout
	if c.Stderr == nil {
		c.Stderr = p.Stderr
	}
	require.NoError(t, c.Start())
	go func() {
		_ = c.Wait() // how it ended is in ProcessState
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%v wrote:\n%s\n%s", c.Args, shortened(p.Stdout.String(), 3), shortened(p.Stderr.String(), 20))
		}
		noRace(t, p.Stderr.String())
	})
	return p
}

// shortened is the end of a text, without the log of what went well.
func shortened(text string, n int) string {
	kept := slices.DeleteFunc(Lines(text), func(line string) bool {
		return strings.Contains(line, "level=INFO") || strings.Contains(line, `"level":"INFO"`)
	})
	return strings.Join(kept[max(0, len(kept)-n):], "\n")
}

func (p *Process) Signal(s os.Signal) {
	p.T.Helper()
	require.NoError(p.T, p.Cmd.Process.Signal(s))
}

// kill is kill -9.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.Ended
}

// wait waits for its end and returns the exit status.
func (p *Process) Wait() int {
	p.T.Helper()
	select {
	case <-p.Ended:
	case <-time.After(Patience):
		require.FailNow(p.T, "the process did not end", "%s%s", p.Stdout, p.Stderr)
	}
	return p.Cmd.ProcessState.ExitCode()
}

func (p *Process) Running() bool {
	select {
	case <-p.Ended:
		return false
	default:
		return true
	}
}

// says waits until the process has written text there.
func (p *Process) Says(to *Transcript, text string) {
	p.T.Helper()
	Until(p.T, func() error {
		if strings.Contains(to.String(), text) {
			return nil
		}
		if !p.Running() && !strings.Contains(to.String(), text) {
			p.T.Fatalf("the process ended without %q:\n%s%s", text, p.Stdout, p.Stderr)
		}
		return fmt.Errorf("%q is not among:\n%s", text, to)
	})
}

// transcript is what a process writes, while it writes.
type Transcript struct {
	Mu   sync.Mutex
	Text bytes.Buffer
}

func (o *Transcript) Write(b []byte) (int, error) {
	o.Mu.Lock()
	defer o.Mu.Unlock()
	return o.Text.Write(b)
}

func (o *Transcript) String() string {
	o.Mu.Lock()
	defer o.Mu.Unlock()
	return o.Text.String()
}

// until asks again until there is no error, for as long as patience lasts.
func Until(t testing.TB, ask func() error) {
	t.Helper()
	untilIn(t, Patience, ask)
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
