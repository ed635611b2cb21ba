//go:build unix

package bus_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain runs all phases of TestSuspendedChild side by side, and TestRandomFaults.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "10") // the command line overrides it
	m.Run()
}

// TestSuspendedChild stops a process around the deadlines of its handlers, and around the Close of its partition, for
// longer than the grace period. Its handlers heed their contexts, so there is no overrun.
func TestSuspendedChild(t *testing.T) {
	const part = "SIPEAT_TEST_SUSPENDED"
	switch os.Getenv(part) {
	case "deadline":
		suspendedAtDeadlines(t)
		return
	case "close":
		suspendedAtClose(t)
		return
	}
	t.Parallel()
	for _, what := range []string{"deadline", "close"} { // 300 ms after the child's line
		for phase := range 4 {
			t.Run(fmt.Sprintf("%s/after %d ms", what, 100*phase+50), func(t *testing.T) {
				t.Parallel()
				child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuspendedChild$", "-test.v")
				child.Env = append(os.Environ(), part+"="+what)
				out, err := child.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, child.Start())
				last := ""
				for lines := bufio.NewScanner(out); lines.Scan(); {
					last = lines.Text()
					if last != "begins" {
						continue
					}
					<-time.After(time.Duration(100*phase+50) * time.Millisecond)
					require.NoError(t, child.Process.Signal(syscall.SIGSTOP))
					<-time.After(1500 * time.Millisecond)
					require.NoError(t, child.Process.Signal(syscall.SIGCONT))
				}
				assert.NoError(t, child.Wait(), last)
				assert.Equal(t, "PASS", last)
			})
		}
	}
}

// suspendable opens a partition with an event whose handler runs until its deadline and then cleans up.
func suspendable(t *testing.T, timeout time.Duration) (p *bus.Partition, ended chan struct{}) {
	began, ended := make(chan struct{}), make(chan struct{})
	cleanUp := func(ctx context.Context, _ event) error {
		began <- struct{}{}
		<-ctx.Done()
		<-time.After(100 * time.Millisecond)
		go func() { ended <- struct{}{} }()
		return events.Errorf(events.Unavailable, "cancelled")
	}
	options := bus.Options{HandlerTimeout: timeout, Grace: time.Second, MinBackoff: time.Hour, MaxBackoff: time.Hour}
	p = bus.NewEngine(bus.NewConsumer("g", cleanUp), nil, options).Open(t.Context(), 7, time.Time{}, nil)
	p.Deliver(batch(0, "a1"))
	<-began
	fmt.Println("begins")
	return p, ended
}

func suspendedAtDeadlines(t *testing.T) {
	for range 2 {
		p, ended := suspendable(t, 300*time.Millisecond)
		<-ended
		require.NoError(t, p.Close(t.Context()))
	}
}

func suspendedAtClose(t *testing.T) {
	p, _ := suspendable(t, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, p.Close(ctx), context.DeadlineExceeded)
}
