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
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// WaitTimeout limits every wait for a process; it is long because a machine that runs several packages at once is slow.
const WaitTimeout = 60 * time.Second

// built is the folder of the programs under test.
var built string

// Main runs the tests of a package and removes what they built. The tests mostly wait for processes, so more of them run
// in parallel than there are CPUs.
func Main(m *testing.M) {
	_ = flag.Set("test.parallel", "12") // the command line overrides it
	var err error
	if built, err = os.MkdirTemp("", "sipeat-proof-"); err != nil {
		panic(err)
	}
	m.Run()
	_ = os.RemoveAll(built)
}

// Build builds a package's command, under the race detector with it. Unlike go build, go run keeps what it has linked in the
// build cache.
func Build(name, pkg string, flags ...string) (path string, err error) {
	path = filepath.Join(built, name)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		flags = append(flags, "-race")
	}
	arguments := slices.Concat([]string{"run"}, flags, []string{"-exec", "cp", pkg, path}) // runs `cp BUILT path`
	output, err := exec.Command("go", arguments...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, output)
	}
	return path, nil
}

// Program builds sipeat once.
var Program = sync.OnceValues(func() (path string, err error) { return Build("sipeat", "github.com/sipeat/sipeat") })

// CleanEnvironment is the environment without the program's settings, and with free ports.
func CleanEnvironment() []string {
	var names []string
	_, _ = settings.Read(func(name string) string { names = append(names, name); return "" })
	kept := slices.DeleteFunc(os.Environ(), func(setting string) bool {
		name, _, _ := strings.Cut(setting, "=")
		return slices.Contains(names, name) || strings.HasPrefix(name, "SIPEAT_") || strings.HasPrefix(name, "KAFKA") ||
			strings.HasPrefix(name, "OTEL_")
	})
	return append(kept, "SIPEAT_HTTP=127.0.0.1:0", "SIPEAT_KAFKA=127.0.0.1:0", "AWS_EC2_METADATA_DISABLED=true")
}

// Result is the outcome of a run.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Finish runs a command to its end.
func Finish(t testing.TB, c *exec.Cmd, stdin string) Result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := c.Run(); err != nil {
		require.ErrorAs(t, err, new(*exec.ExitError))
	}
	require.NotContains(t, stderr.String(), "DATA RACE")
	return Result{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Process is a running command.
type Process struct {
	T              testing.TB
	Cmd            *exec.Cmd
	Stdout, Stderr Transcript
	Ended          chan struct{} // closed at its end
}

// Start starts a prepared command and kills it when the test ends.
func Start(t testing.TB, c *exec.Cmd) *Process {
	t.Helper()
	stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer stdout.Close()
	defer stderr.Close()
	p := &Process{t, c, Transcript(stdout.Name()), Transcript(stderr.Name()), make(chan struct{})}
	c.Stdout, c.Stderr = stdout, stderr
	require.NoError(t, c.Start())
	go func() {
		_ = c.Wait() // the outcome is in ProcessState
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			said := Lines(p.Stderr.String())
			t.Logf("%v wrote:\n%s\n%s", c.Args, p.Stdout, strings.Join(said[max(0, len(said)-20):], "\n"))
		}
		assert.NotContains(t, p.Stderr.String(), "DATA RACE")
	})
	return p
}

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) {
	p.T.Helper()
	require.NoError(p.T, p.Cmd.Process.Signal(s))
}

// Kill is kill -9.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // it may have ended
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

// Stop sends a signal and waits for an orderly end.
func (p *Process) Stop(s os.Signal) {
	p.T.Helper()
	p.Signal(s)
	require.Zero(p.T, p.Wait(), p.Stderr)
}

// Running reports whether the process has not ended.
func (p *Process) Running() bool { return p.Cmd.Process.Signal(syscall.Signal(0)) == nil }

// Says waits until the process has written the text to one of its outputs.
func (p *Process) Says(to Transcript, text string) {
	p.T.Helper()
	Until(p.T, func() error {
		running := p.Running()
		if strings.Contains(to.String(), text) {
			return nil
		}
		require.True(p.T, running, "the process ended without %q:\n%s%s", text, p.Stdout, p.Stderr)
		return fmt.Errorf("%q is not among:\n%s", text, to)
	})
}

// Transcript is the file that collects an output of a process.
type Transcript string

func (o Transcript) String() string {
	text, _ := os.ReadFile(string(o))
	return string(text)
}

// Lines splits a text.
func Lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

// Until repeats a check until it returns no error.
func Until(t testing.TB, check func() error) {
	t.Helper()
	var last error
	_, err := backoff.Retry(Within(t), func() (struct{}, error) {
		last = check()
		return struct{}{}, last
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)))
	require.NoError(t, err, "not true within %s: %v", WaitTimeout, last)
}

// Within is a context with the limit of a wait.
func Within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), WaitTimeout)
	t.Cleanup(cancel)
	return ctx
}

// ErrorUnless returns an error with the text unless ok.
func ErrorUnless(ok bool, text string) error {
	if ok {
		return nil
	}
	return errors.New(text)
}
