package program

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

// eachKafka runs a test on the embedded broker, which any client may use, and on Apache Kafka.
func eachKafka(t *testing.T, test func(*testing.T, *Fleet)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, newFleet(t, embedded(t, t.TempDir()).Address()))
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		brokers := os.Getenv("KAFKA_BROKERS")
		if brokers == "" {
			t.Skip("set KAFKA_BROKERS=host:port to the brokers of a Kafka that may be written to")
		}
		lockGroups(t)
		test(t, newFleet(t, brokers))
	})
}

var nowHas = regexp.MustCompile(`msg="partitions changed" topic=contact-created .* owned="?\[([0-9 ]*)\]`)

// partitions returns the number of partitions of contact-created that the worker logged as its own.
func (p *Process) partitions() int {
	found := nowHas.FindAllStringSubmatch(p.Stderr.String(), -1)
	if len(found) == 0 {
		return 0
	}
	return len(strings.Fields(found[len(found)-1][1]))
}

// sharing waits until two workers have half of the contacts each.
func sharing(t *testing.T, a, b *Process) {
	t.Helper()
	Until(t, func() error {
		return ErrorUnless(a.partitions() == 3 && b.partitions() == 3, "they do not have 3 partitions each")
	})
}

func TestServersShareTheWork(t *testing.T) {
	t.Parallel()
	eachKafka(t, func(t *testing.T, f *Fleet) {
		// The topics and groups of a real cluster are older than this test's read model.
		model := f.Store + ".built"
		built := f.Run("rebuild", "--store", model, "--once")
		require.Zero(t, built.Status, built.Stderr)
		f.Store = model
		api, first := f.API(), f.Worker()
		before := api.Readable("/contacts", api.Post("/contacts", AContact).ID)
		assert.Equal(t, "Ada Lovelace", before["name"])
		second := f.Worker()
		sharing(t, first, second)
		for _, e := range endpoints {
			api.Readable(e.path, api.Post(e.path, e.body).ID)
		}
		well := f.Run("doctor")
		assert.Equal(t, 0, well.Status, well.Stdout)

		// A worker that stops has committed and gives up its partitions at once.
		second.Stop(syscall.SIGTERM)
		Done(t, Contacts(t, f.Brokers), first)
		first.Stop(syscall.SIGTERM)
		api.Stop(syscall.SIGTERM)
		Handled(t, f.Brokers, "contact-created")
	})
}

func TestPartitionsOfAKilledWorkerAreTakenOver(t *testing.T) {
	t.Parallel()
	eachKafka(t, func(t *testing.T, f *Fleet) {
		victim, survivor := f.Worker("KAFKA_SESSION_TIMEOUT=1s"), f.Worker("KAFKA_SESSION_TIMEOUT=1s")
		sharing(t, victim, survivor)
		victim.Kill()
		Done(t, Contacts(t, f.Brokers), survivor)
	})
}

// A worker with an instance id that is killed and started again continues without a rebalance.
func TestAWorkerWithAnInstanceIDKeepsItsPartitions(t *testing.T) {
	t.Parallel()
	eachKafka(t, func(t *testing.T, f *Fleet) {
		victim, other := f.Worker("KAFKA_INSTANCE_ID=one"), f.Worker("KAFKA_INSTANCE_ID=two")
		sharing(t, victim, other)
		changes := func() int { return strings.Count(other.Stderr.String(), `"partitions changed" topic=contact-created `) }
		before := changes()
		victim.Kill()
		again := f.Worker("KAFKA_INSTANCE_ID=one")
		Done(t, Contacts(t, f.Brokers), again, other)
		assert.Equal(t, before, changes(), "the other worker was rebalanced")
	})
}

func TestWorkerServesItsHealth(t *testing.T) {
	t.Parallel()
	f := newFleet(t, embedded(t, t.TempDir()).Address())
	w := f.Worker("HEALTH=127.0.0.1:0")
	w.Says(w.Stderr, "/readyz")
	_, rest, _ := strings.Cut(w.Stderr.String(), "url=http://")
	address, _, _ := strings.Cut(rest, "/readyz")
	assert.JSONEq(t, `{"status":"alive"}`, Call(t, "GET", "http://"+address+"/healthz", "").Body)
	ready := Call(t, "GET", "http://"+address+"/readyz", "")
	assert.Equal(t, http.StatusOK, ready.Status, ready.Body)
	assert.Contains(t, ready.Body,
		`{"topic":"contact-created","group":"sipeat-contact-consumer","joined":true,"partitions":[0,1,2,3,4,5]`)

	_, err := kadm.NewClient(client(t, f.Brokers)).DeleteTopic(Within(t), "contact-created")
	require.NoError(t, err)
	Until(t, func() error {
		ready = Call(t, "GET", "http://"+address+"/readyz", "")
		if ready.Status != http.StatusServiceUnavailable || !strings.Contains(ready.Body, "the topic was deleted") {
			return fmt.Errorf("%d %s", ready.Status, ready.Body)
		}
		return nil
	})
	assert.Contains(t, ready.Body, `"unreachable":["consumers"]`)
}

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
		s := serve(t, t.TempDir(), environment...)
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
		stops(t, w, connected)
		assert.Zero(t, w.Cmd.ProcessState.ExitCode(), w.Stderr)
	})
}
