package program

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/local"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Docker kills a container 10 s after SIGTERM. A server ends before that beside a mail server that does not answer, with a
// request that its client does not finish.
func TestServersStopWithin10s(t *testing.T) {
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
		return []string{"NOTIFY=smtp", "SMTP_URL=smtp://" + l.Addr().String(), "NOTIFY_FROM=a@example.com", "NOTIFY_TO=b@example.com"}, connections
	}
	stops := func(t *testing.T, p *Process, connected <-chan net.Conn) {
		select {
		case c := <-connected:
			defer c.Close()
		case <-time.After(Patience):
			require.Fail(t, "no mail was sent")
		}
		began := time.Now()
		p.Signal(syscall.SIGTERM)
		p.Wait()
		assert.Less(t, time.Since(began), 9*time.Second)
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
		broker, err := local.Open(t.Context(), local.Options{Dir: t.TempDir(), Address: "127.0.0.1:0"})
		require.NoError(t, err)
		t.Cleanup(func() { broker.Close() })
		f := newFleet(t, broker.Address())
		api := f.API()
		api.Post("/contacts", AContact)
		w := f.Worker(environment...)
		stops(t, w.Process, connected)
		assert.Zero(t, w.Cmd.ProcessState.ExitCode(), w.Stderr)
	})
}
