package kafka_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// logins is a hook that counts the logins of a client that are repeated on a connection, and the requests that failed.
type logins struct{ connections, all, failed atomic.Int32 }

func (l *logins) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	switch {
	case e2e.Err() != nil:
		l.failed.Add(1)
	case key == int16(kmsg.ApiVersions):
		l.connections.Add(1)
	case key == int16(kmsg.SASLHandshake):
		l.all.Add(1)
	}
}

func (l *logins) repeated() int { return int(l.all.Load() - l.connections.Load()) }

// Brokers may demand that a client logs in again on a connection that is in use, as MSK does for AWS_MSK_IAM. No request that is
// on its way then is lost, repeated or answered with the answer of another.
func TestLoginIsRepeatedWhileInUse(t *testing.T) {
	t.Parallel()
	test := func(t *testing.T, cluster settings.Kafka, times int) {
		t.Parallel()
		const writers = 4
		l := &logins{}
		b := connectBy(t, cluster, kgo.WithHooks(l))
		b.create(writers)
		d, log := newDiary(t), &lines{}
		w := b.consume(kafka.Options{Logger: log.logger()}, d.handler)
		p := publisher(t, b.Kafka)
		var writing sync.WaitGroup
		var mu sync.Mutex
		steps := map[string]int{}
		deadline := time.Now().Add(waitTimeout)
		for k := range writers {
			id := fmt.Sprint("k", k)
			writing.Go(func() {
				n := 0
				for ; l.repeated() < times && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
					n++
					r := moved(0, id, n)
					_, err := p.Publish(t.Context(), toTopic{nil, b.topic, id, string(r.Value)})
					if !assert.NoError(t, err) {
						return
					}
				}
				mu.Lock()
				defer mu.Unlock()
				steps[id] = n
			})
		}
		for range writers {
			writing.Go(func() {
				for ; l.repeated() < times && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
					_, err := b.admin.ListEndOffsets(t.Context(), b.topic)
					if !assert.NoError(t, err) {
						return
					}
				}
			})
		}
		writing.Wait()
		require.GreaterOrEqual(t, l.repeated(), times,
			"the brokers demand no repeated login: set their connections.max.reauth.ms to 10000")
		assert.Zero(t, l.failed.Load(), "a client that mixes up answers tries again on another connection")
		d.waitFor(steps)
		s := w.Status()
		assert.True(t, s.Healthy(), "%+v", s)
		require.NoError(t, w.end())
		assert.Zero(t, d.repeats)
		assert.Zero(t, log.count("level=ERROR")+log.count("level=WARN"))
	}
	t.Run("kfake", func(t *testing.T) {
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(settings.ScramSHA512, "ada", "s3cret"),
			kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "3000"})) // the client begins a second before that
		require.NoError(t, err)
		t.Cleanup(c.Close)
		for _, key := range []kmsg.Key{kmsg.Produce, kmsg.ListOffsets} { // so slowly that others are sent before the answer
			c.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				c.SleepControl(func() { time.Sleep(50 * time.Millisecond) })
				return nil, nil, false
			})
		}
		test(t, withLogin(settings.Kafka{Brokers: c.ListenAddrs()}, settings.ScramSHA512, "ada", "s3cret"), 3)
	})
	t.Run("kafka", func(t *testing.T) {
		brokers := os.Getenv("KAFKA_SASL_BROKERS")
		if brokers == "" {
			t.Skip("set KAFKA_SASL_BROKERS, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_TLS_CA_FILE" +
				" to a Kafka with a login and connections.max.reauth.ms=10000")
		}
		c := settings.Kafka{Brokers: strings.Split(brokers, ","), CAFile: os.Getenv("KAFKA_TLS_CA_FILE")}
		c.TLS = c.CAFile != ""
		test(t, withLogin(c, os.Getenv("KAFKA_SASL_MECHANISM"), os.Getenv("KAFKA_SASL_USERNAME"),
			os.Getenv("KAFKA_SASL_PASSWORD")), 3)
	})
}
