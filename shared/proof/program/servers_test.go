package program

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// sharing waits until two workers have half of the contacts each.
func sharing(t *testing.T, a, b *Member) {
	t.Helper()
	Until(t, func() error {
		return ErrorUnless(a.Has("contact-created") == 3 && b.Has("contact-created") == 3, "they do not have 3 partitions each")
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
		second.Signal(syscall.SIGTERM)
		assert.Equal(t, 0, second.Wait())
		first.Handles(f.Contacts())
		first.Signal(syscall.SIGTERM)
		assert.Equal(t, 0, first.Wait())
		api.Signal(syscall.SIGTERM)
		assert.Equal(t, 0, api.Wait())
		Handled(t, f.Brokers, Groups["contact-created"], "contact-created")
	})
}

func TestPartitionsOfAKilledWorkerAreTakenOver(t *testing.T) {
	t.Parallel()
	eachKafka(t, func(t *testing.T, f *Fleet) {
		victim, survivor := f.Worker("KAFKA_SESSION_TIMEOUT=1s"), f.Worker("KAFKA_SESSION_TIMEOUT=1s")
		sharing(t, victim, survivor)
		victim.Kill()
		survivor.Handles(f.Contacts())
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
		ids := f.Contacts()
		Until(t, func() error {
			text := again.Stderr.String() + other.Stderr.String()
			for _, id := range ids {
				if !WasDone(text, id) {
					return errors.New(id + " is not handled")
				}
			}
			return nil
		})
		assert.Equal(t, before, changes(), "the other worker was rebalanced")
	})
}
