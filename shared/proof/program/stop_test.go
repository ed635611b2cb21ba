package program

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server beside a mail server that does not answer, with a request that its client does not finish, stops by itself:
// cli bounds a stop below the 10 s after which Docker kills a container.
func TestServersStopBesideAHungMailServer(t *testing.T) {
	t.Parallel()
	hung := func(t *testing.T) (environment []string, connected <-chan net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		connections := make(chan net.Conn, 1)
		go func() {
			if c, err := l.Accept(); err == nil {
				connections <- c
			}
		}()
		return []string{"NOTIFY=smtp", "SMTP_URL=smtp://" + l.Addr().String(), "NOTIFY_FROM=a@example.com",
			"NOTIFY_TO=b@example.com"}, connections
	}
	stops := func(t *testing.T, p *Process, connected <-chan net.Conn) {
		select {
		case c := <-connected:
			defer c.Close()
		case <-time.After(WaitTimeout):
			require.Fail(t, "no mail was sent")
		}
		p.Signal(syscall.SIGTERM)
		p.Wait()
		assert.NotContains(t, p.Stderr.String(), "ignores its deadline")
	}
	t.Run("serve", func(t *testing.T) {
		t.Parallel()
		environment, connected := hung(t)
		s := launch(t, t.TempDir(), environment...)
		s.Ready()
		s.Post("/contacts", AContact)
		s.beginPost()
		stops(t, s.Process, connected)
	})
	t.Run("worker", func(t *testing.T) {
		t.Parallel()
		environment, connected := hung(t)
		f := newFleet(t, embedded(t, t.TempDir()).Address())
		f.API().Post("/contacts", AContact)
		w := f.Worker(environment...)
		stops(t, w.Process, connected)
		assert.Zero(t, w.Cmd.ProcessState.ExitCode(), w.Stderr)
	})
}
