// Package program tests the sipeat command as its users run it. Other suites of proof start it with this package's helpers.
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

// WaitTimeout limits every wait for a process; it is long because a machine that runs several packages at once is slow.
const WaitTimeout = 60 * time.Second

// Main runs the tests of a package and removes what they built. The tests mostly wait for processes, so more of them run
// in parallel than there are CPUs.
func Main(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		_ = f.Value.Set("8")
	}
	status := m.Run()
	_ = os.RemoveAll(Built)
	os.Exit(status)
}

// Built is the folder of the program under test.
var Built string

// Program builds the command once. Under the race detector it is built with it.
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

// command prepares a run of the program in an empty folder, with default settings.
func command(t testing.TB, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := Program()
	require.NoError(t, err)
	c := exec.Command(path, arguments...)
	c.Dir = t.TempDir()
	c.Env = CleanEnvironment()
	return c
}

// set adds settings to the environment of a command.
func set(c *exec.Cmd, settings ...string) *exec.Cmd {
	c.Env = append(c.Env, settings...)
	return c
}

// CleanEnvironment is the environment without the program's settings, and with free ports.
func CleanEnvironment() []string {
	names := settings.Names()
	var kept []string
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "SIPEAT_") && !strings.HasPrefix(name, "KAFKA") &&
			!strings.HasPrefix(name, "OTEL_") {
			kept = append(kept, setting)
		}
	}
	return append(kept, "SIPEAT_HTTP=127.0.0.1:0", "SIPEAT_KAFKA=127.0.0.1:0", "AWS_EC2_METADATA_DISABLED=true")
}

// Result is the outcome of a run.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Run runs the program to its end.
func Run(t testing.TB, stdin string, arguments ...string) Result {
	t.Helper()
	return Finish(t, command(t, arguments...), stdin)
}

// Finish runs a command to its end.
func Finish(t testing.TB, c *exec.Cmd, stdin string) Result {
	t.Helper()
	return FinishIn(t, WaitTimeout, c, stdin)
}

// FinishIn is Finish with another hang guard.
func FinishIn(t testing.TB, timeout time.Duration, c *exec.Cmd, stdin string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	require.NoError(t, c.Start())
	timer := time.AfterFunc(timeout, func() { _ = c.Process.Kill() })
	err := c.Wait()
	require.True(t, timer.Stop(), "%v did not end\n%s%s", c.Args, stdout.String(), stderr.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NotContains(t, stderr.String(), "DATA RACE")
	return Result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Process is a running command.
type Process struct {
	T              testing.TB
	Cmd            *exec.Cmd
	Stdout, Stderr *Transcript
	Ended          chan struct{} // closed at its end
}

// Start starts a prepared command and kills it when the test ends.
func Start(t testing.TB, c *exec.Cmd) *Process {
	t.Helper()
	p := &Process{T: t, Cmd: c, Stdout: &Transcript{}, Stderr: &Transcript{}, Ended: make(chan struct{})}
	c.Stdout = p.Stdout
	if c.Stderr == nil {
		c.Stderr = p.Stderr
	}
	require.NoError(t, c.Start())
	go func() {
		_ = c.Wait() // the outcome is in ProcessState
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%v wrote:\n%s\n%s", c.Args, p.Stdout, shortened(p.Stderr.String()))
		}
		require.NotContains(t, p.Stderr.String(), "DATA RACE")
	})
	return p
}

// shortened is the end of a log without its informative lines.
func shortened(text string) string {
	kept := slices.DeleteFunc(Lines(text), func(line string) bool {
		return strings.Contains(line, "level=INFO") || strings.Contains(line, `"level":"INFO"`)
	})
	return strings.Join(kept[max(0, len(kept)-20):], "\n")
}

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) {
	p.T.Helper()
	require.NoError(p.T, p.Cmd.Process.Signal(s))
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Signal(syscall.SIGKILL) // it may have ended
	<-p.Ended
}

// Wait waits for the end and returns the exit status.
func (p *Process) Wait() int {
	p.T.Helper()
	select {
	case <-p.Ended:
	case <-time.After(WaitTimeout):
		require.FailNow(p.T, "the process did not end", "%s%s", p.Stdout, p.Stderr)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// FirstLine waits for the first line of the output.
func (p *Process) FirstLine() string {
	p.T.Helper()
	p.Says(p.Stdout, "\n")
	first, _, _ := strings.Cut(p.Stdout.String(), "\n")
	return first
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.Ended:
		return false
	default:
		return true
	}
}

// Says waits until the process has written the text to one of its outputs.
func (p *Process) Says(to *Transcript, text string) {
	p.T.Helper()
	Until(p.T, func() error {
		running := p.Running()
		if strings.Contains(to.String(), text) {
			return nil
		}
		if !running {
			p.T.Fatalf("the process ended without %q:\n%s%s", text, p.Stdout, p.Stderr)
		}
		return fmt.Errorf("%q is not among:\n%s", text, to)
	})
}

// Transcript collects the output of a process.
type Transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *Transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *Transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Until repeats a check until it returns no error.
func Until(t testing.TB, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), WaitTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.FailNow(t, "not true within "+WaitTimeout.String(), "%v", err)
		}
	}
}

// ErrorUnless returns an error with the text unless ok.
func ErrorUnless(ok bool, text string) error {
	if ok {
		return nil
	}
	return errors.New(text)
}
