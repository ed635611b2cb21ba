package faults

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// cleanUpTime is the time before `go test -timeout` ends that a run leaves for cleaning up.
const cleanUpTime = time.Minute

// interruptible returns a context that ends with the test, at SIGINT or SIGTERM, when `go test` is gone, and some time before its
// -timeout. A second signal ends the process at once.
func interruptible(t *testing.T) context.Context {
	t.Helper()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	ctx, cancel := context.WithCancelCause(ctx)
	t.Cleanup(func() { cancel(nil); stop() })
	parent := os.Getppid()
	go func() {
		for ctx.Err() == nil {
			wait(ctx, time.Second)
			if os.Getppid() != parent {
				cancel(fmt.Errorf("`go test` was killed"))
			}
		}
	}()
	if deadline, ok := t.Deadline(); ok {
		var end context.CancelFunc
		ctx, end = context.WithDeadlineCause(ctx, deadline.Add(-cleanUpTime), fmt.Errorf("the run takes too long for -timeout"))
		t.Cleanup(end)
	}
	return ctx
}

// guard runs a command when the process that started it ends, in whatever way: also when it was killed, or panicked.
type guard struct {
	*exec.Cmd
	alive io.Closer // the pipe that ends with the process
	log   string
}

func startGuard(dir string, env []string, command ...string) (*guard, error) {
	g := &guard{log: filepath.Join(dir, "guard.log")}
	g.Cmd = exec.Command("sh", append([]string{"-c", `cat; exec "$@"`, "sh"}, command...)...)
	g.Env, g.SysProcAttr = env, &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the group of the terminal
	log, err := os.Create(g.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	g.Stdout, g.Stderr = log, log
	if g.alive, err = g.StdinPipe(); err != nil {
		return nil, err
	}
	return g, g.Start()
}

// release runs the command now.
func (g *guard) release() error {
	_ = g.alive.Close()
	if err := g.Wait(); err != nil {
		said, _ := os.ReadFile(g.log)
		return fmt.Errorf("%w: %s", err, said)
	}
	return nil
}

func TestGuardOutlivesAKilledProcess(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("GUARDED"); dir != "" { // this is the process that is killed
		_, err := startGuard(dir, nil, "touch", filepath.Join(dir, "removed"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "guarded"), nil, 0o600))
		select {}
	}
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	killed := exec.Command(self, "-test.run", "^"+t.Name()+"$")
	killed.Env = append(os.Environ(), "GUARDED="+dir)
	require.NoError(t, killed.Start())
	exists := func(name string) func(context.Context) error {
		return func(context.Context) error {
			_, err := os.Stat(filepath.Join(dir, name))
			return err
		}
	}
	assert.NoError(t, until(t.Context(), time.Minute, exists("guarded")))
	assert.Error(t, exists("removed")(t.Context()))
	require.NoError(t, killed.Process.Kill())
	assert.Error(t, killed.Wait())
	assert.NoError(t, until(t.Context(), time.Minute, exists("removed")))
}

func TestGuardReportsAFailure(t *testing.T) {
	t.Parallel()
	g, err := startGuard(t.TempDir(), os.Environ(), "sh", "-c", "echo no such project >&2; exit 1")
	require.NoError(t, err)
	assert.ErrorContains(t, g.release(), "no such project")
}
