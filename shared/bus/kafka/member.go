package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// joining adds what makes the client a member of the worker's group as the settings have it.
func joining(w *worker, cluster settings.Kafka, options ...kgo.Opt) []kgo.Opt {
	m := &membership{worker: w}
	told := w.options.Assigned
	w.options.Assigned = func(topic string, partitions []int32) {
		if m.joined.Load() { // a join that failed loses what it never had
			told(topic, partitions)
		}
	}
	options = append(options, kgo.WithHooks(m), kgo.OnPartitionsAssigned(m.assigned))
	if cluster.InstanceID != "" {
		options = append(options, kgo.InstanceID(cluster.InstanceID))
	}
	return options
}

// membership hears why the group did not take the worker, or put it out.
type membership struct {
	*worker
	joined atomic.Bool // once
}

// assigned is the worker's assign, which comes with each join, be it with no partition.
func (m *membership) assigned(ctx context.Context, client *kgo.Client, added map[string][]int32) {
	m.joined.Store(true)
	m.assign(ctx, client, added)
}

var _ kgo.HookGroupManageError = (*membership)(nil)

// OnGroupManageError ends the worker for what no further try mends. The client itself goes on trying for ever, which is right
// for everything else.
func (m *membership) OnGroupManageError(err error) {
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		m.fail(fmt.Errorf("another worker has joined as KAFKA_INSTANCE_ID: each needs a name of its own: %w", err))
	case errors.Is(err, kerr.InvalidSessionTimeout):
		m.fail(fmt.Errorf("the brokers do not take KAFKA_SESSION_TIMEOUT=%s: they take from group.min.session.timeout.ms (6s unless set) to group.max.session.timeout.ms (30m); set the one or the other: %w",
			m.options.SessionTimeout, err))
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		m.options.Logger.Error("the group has members of another program, with which its partitions cannot be shared; it is waited for until they are stopped",
			"group", m.consumer.Group)
	case m.joined.Load(): // lost rights may come back
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed),
		errors.Is(err, kerr.GroupMaxSizeReached), errors.Is(err, kerr.InvalidGroupID):
		m.fail(fmt.Errorf("the group cannot be joined: %w", err))
	}
}
