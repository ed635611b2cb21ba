package kafka_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
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

func TestTheSameWarningIsShownOnceInAWhile(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelInfo, slog.LevelDebug} {
		synctest.Test(t, func(t *testing.T) {
			var l lines
			logger := logTo(&l, level)
			one, other := kafka.Limited(logger).With("part", "a"), kafka.Limited(logger).With("part", "b") // two clients
			for range 20 {                                                                                 // in 10 s
				one.Warn("away", "addr", "kafka-1:9092", "err", time.Now().String())
				other.Warn("away", "addr", "kafka-1:9092", "err", "another")
				other.Error("away", "addr", "kafka-1:9092")
				one.Warn("away", "addr", "kafka-2:9092")
				one.Info("fine")
				time.Sleep(500 * time.Millisecond)
			}
			one.Warn("away", "addr", "kafka-1:9092")
			shown := l.with("level=WARN", "kafka-1")
			require.Len(t, shown, 3)
			assert.NotContains(t, shown[0], "repeated")
			assert.Contains(t, shown[1], "repeated=19")
			assert.Contains(t, shown[2], "repeated=19")
			assert.Len(t, l.with("level=WARN", "kafka-2"), 2, "another broker is another matter")
			assert.Len(t, l.with("level=ERROR", "kafka-1"), 2)
			assert.Len(t, l.with("fine"), 20)
			if level == slog.LevelDebug {
				assert.Len(t, l.with("away"), 81, "nothing is lost at debug")
			} else {
				assert.Len(t, l.with("away"), 7)
			}
		})
	}
}

// TestAnOutageIsSaidInFewLines: what the client itself has to say of it, and we.
func TestAnOutageIsSaidInFewLines(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	var l lines
	joined := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	consumer := bus.NewConsumer(b.group, func(context.Context, events.Event[events.ContactCreated]) error { return nil })
	consumer.Topic = b.topic
	go func() {
		ended <- kafka.Consume(ctx, b.Kafka, consumer, kafka.Options{
			Logger: logTo(&l, slog.LevelDebug), StopTimeout: 2 * time.Second,
			Assigned: func(string, []int32) {
				select {
				case <-joined:
				default:
					close(joined)
				}
			},
		})
	}()
	<-joined
	began := time.Now()
	b.fake.Close()
	require.Eventually(t, func() bool {
		return len(l.with("level=DEBUG", "unable to open connection to broker")) >= 5 && len(l.with("lost the consumer group session")) > 0
	}, patience, 10*time.Millisecond)
	most := 1 + int(time.Since(began)/(5*time.Second))
	assert.LessOrEqual(t, len(l.with("level=WARN", "unable to open connection to broker")), 2*most, "the seed's address, and the broker's")
	assert.LessOrEqual(t, len(l.with("level=ERROR", "lost the consumer")), most)
	assert.Empty(t, l.with(`topic=""`))
	assert.NotEmpty(t, l.with("lost the consumer group session", "topic="+b.topic, "group="+b.group))
	stop()
	if err := <-ended; err != nil {
		assert.False(t, errors.Is(err, context.DeadlineExceeded), "%v", err)
	}
}
