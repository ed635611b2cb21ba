package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kfake"
)

func nothing(context.Context, event) error { return nil }

// A session timeout that the brokers refuse ends the worker with the setting to change.
func TestRefusedSessionTimeoutEndsConsume(t *testing.T) {
	t.Parallel()
	b := fake(t, kfake.GroupMinSessionTimeout(6*time.Second))
	b.create(1)
	b.SessionTimeout = time.Second
	w := b.consume(kafka.Options{}, nothing)
	explains(t, w.wait(), "KAFKA_SESSION_TIMEOUT=1s", "group.min.session.timeout.ms")
	assert.Empty(t, w.has, "it has never joined")
}

// A worker ends if another one takes over its instance id and with it its partitions.
func TestDuplicateInstanceIDEndsConsume(t *testing.T) {
	t.Parallel()
	b := fake(t)
	b.create(1)
	b.InstanceID = "one"
	first := b.consume(kafka.Options{}, nothing)
	first.waitFor(1)
	second := b.consume(kafka.Options{}, nothing)
	explains(t, first.wait(), "KAFKA_INSTANCE_ID")
	second.waitFor(1)
	assert.NoError(t, second.end())
}
