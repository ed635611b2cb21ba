package kafka_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// lines is a log whose lines can be counted.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), part)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// fleet starts workers of several groups that have one log.
func (b *broker) fleet(level slog.Level) (*lines, []*worker) {
	b.SessionTimeout = time.Second
	l := &lines{}
	o := kafka.Options{Logger: slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level})), StopTimeout: 2 * time.Second}
	workers := make([]*worker, 3)
	for i := range workers {
		b.group = fmt.Sprint("group-", i)
		workers[i] = b.consume(o, newDiary(b.t).handler)
	}
	return l, workers
}

// The limit holds for any number of consumers and retries.
func TestOutageAndItsEndAreLoggedOnce(t *testing.T) {
	t.Parallel()
	b, network := fakeWithNetwork(t)
	b.create(1)
	l, workers := b.fleet(slog.LevelDebug)
	joined := func() bool {
		for _, w := range workers {
			if !w.Status().Joined {
				return false
			}
		}
		return true
	}
	eventually(t, joined)
	network.set(false, true, false)
	eventually(t, func() bool { return l.count("Kafka is away") == 1 && !joined() })
	network.set(false, false, false)
	eventually(t, func() bool { return l.count("Kafka is back") == 1 && joined() })
	for _, w := range workers {
		require.NoError(t, w.end())
	}
	assert.Equal(t, 1, l.count("level=ERROR"))
	assert.LessOrEqual(t, l.count("level=WARN"), 2*len(workers)) // a slow machine ends sessions, too
	assert.Positive(t, l.count("level=DEBUG"), "the client's own lines")
}

// A connection whose login fails has answered some requests before.
func TestAFailedLoginIsLoggedAsAnOutage(t *testing.T) {
	t.Parallel()
	b := fake(t)
	refusing := cluster(t, kfake.EnableSASL(), kfake.Superuser(settings.Plain, "ada", "s3cret"))
	b.Kafka = withLogin(refusing, settings.Plain, "ada", "wrong")
	l, workers := b.fleet(slog.LevelInfo)
	eventually(t, func() bool { return l.count("Kafka is away") == 1 })
	for _, w := range workers {
		w.stop()
		_ = w.wait() // whether it gives up does not matter here
	}
	assert.Zero(t, l.count("Kafka is back"))
}
