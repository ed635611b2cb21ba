package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

func TestSameWarningIsShownOnceInAWhile(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		synctest.Test(t, func(t *testing.T) {
			var l lines
			logger := logTo(&l, level)
			brokers := []string{"kafka:9092"}
			one, other := kafka.QuietLog(brokers, logger).With("part", "a"), kafka.QuietLog(brokers, logger).With("part",
				"b") // two clients
			for range 20 { // in 100 s
				one.Warn("cannot read", "topic", "t", "err", time.Now().String())
				other.Warn("cannot read", "topic", "t", "err", "another")
				other.Error("cannot read", "topic", "t")
				one.Warn("cannot read", "topic", "u")
				one.Info("a step of joining")
				time.Sleep(5 * time.Second)
			}
			assert.Len(t, l.with("level=WARN", "topic=t"), 2)
			assert.Len(t, l.with("level=ERROR", "topic=t"), 2)
			assert.Len(t, l.with("level=WARN", "topic=u"), 2, "another topic is another matter")
			assert.Empty(t, l.with("level=INFO"))
			if level == slog.LevelDebug {
				assert.Len(t, l.with("cannot read"), 80, "nothing is lost at debug")
				assert.Len(t, l.with("a step of joining"), 20)
			} else {
				assert.Len(t, l.with("cannot read"), 6)
			}
		})
	}
}

// However many consumers there are, and however often they retry.
func TestOutageIsOneLineAndItsEndAnother(t *testing.T) {
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
	require.Eventually(t, func() bool {
		return len(l.with("level=DEBUG", "lost the consumer group session")) >= 2*len(watches)
	}, waitTimeout, 10*time.Millisecond)
	assert.False(t, joined(), "the status says so")
	cut.set(false)
	require.Eventually(t, func() bool { return len(l.with("level=INFO", "Kafka is back")) == 1 }, waitTimeout, 10*time.Millisecond)
	require.Eventually(t, joined, waitTimeout, time.Millisecond)
	stop()
	workers.Wait()
	assert.Len(t, l.with("level=ERROR"), 1)
	assert.LessOrEqual(t, len(l.with("level=WARN")), 2, "%s", l.with("level=WARN"))
}
