package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
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

func (l *lines) with(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

func logTo(l *lines, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// The limit holds for any number of consumers and retries.
func TestOutageAndItsEndAreLoggedOnce(t *testing.T) {
	t.Parallel()
	b, cut := fakeWithCut(t)
	b.create(1)
	var l lines
	logger := logTo(&l, slog.LevelDebug)
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	watches := make([]*kafka.Watch, 3)
	for i := range watches {
		watches[i] = &kafka.Watch{}
		c := bus.NewConsumer(fmt.Sprint(b.group, i), newDiary(t).handler)
		c.Topic = b.topic
		workers.Go(func() {
			assert.NoError(t, kafka.Consume(ctx, b.Kafka, c, kafka.Options{Logger: logger, Watch: watches[i],
				StopTimeout: 2 * time.Second}))
		})
	}
	joined := func() bool {
		for _, w := range watches {
			if s, _ := w.Status(); !s.Joined {
				return false
			}
		}
		return true
	}
	require.Eventually(t, joined, waitTimeout, time.Millisecond)
	cut.set(true)
	require.Eventually(t, func() bool { return len(l.with("level=ERROR", "Kafka is away")) == 1 }, waitTimeout, 10*time.Millisecond)
	require.Eventually(t, func() bool { return !joined() }, waitTimeout, 10*time.Millisecond)
	cut.set(false)
	require.Eventually(t, func() bool { return len(l.with("level=INFO", "Kafka is back")) == 1 }, waitTimeout, 10*time.Millisecond)
	require.Eventually(t, joined, waitTimeout, time.Millisecond)
	stop()
	workers.Wait()
	assert.Len(t, l.with("level=ERROR"), 1)
	assert.LessOrEqual(t, len(l.with("level=WARN")), 2, "%s", l.with("level=WARN"))
}

// A connection whose login fails has answered some requests before.
func TestAFailedLoginIsLoggedAsAnOutage(t *testing.T) {
	t.Parallel()
	c := withLogin(cluster(t, kfake.EnableSASL(), kfake.Superuser(settings.Plain, "ada", "s3cret")), settings.Plain, "ada", "wrong")
	var l lines
	logger := logTo(&l, slog.LevelInfo)
	ctx, stop := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for i := range 4 {
		consumer := bus.NewConsumer(fmt.Sprint("g", i), newDiary(t).handler)
		consumer.Topic = "there"
		workers.Go(func() { // whether it gives up does not matter here
			_ = kafka.Consume(ctx, c, consumer, kafka.Options{Logger: logger, StopTimeout: 2 * time.Second})
		})
	}
	assert.Eventually(t, func() bool { return len(l.with("level=ERROR", "Kafka is away")) == 1 },
		waitTimeout, 10*time.Millisecond)
	stop()
	workers.Wait()
	assert.Empty(t, l.with("Kafka is back"))
}
