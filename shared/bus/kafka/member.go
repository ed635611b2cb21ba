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

// joining adds what makes the client join the member's group as the settings have it.
func joining(m *member, cluster settings.Kafka, options ...kgo.Opt) []kgo.Opt {
	s := &membership{member: m}
	told := m.options.Assigned
	m.options.Assigned = func(topic string, partitions []int32) {
		if s.joined.Load() { // a join that failed loses what it never had
			told(topic, partitions)
		}
	}
	options = append(options, kgo.WithHooks(s), kgo.OnPartitionsAssigned(s.assigned))
	if cluster.InstanceID != "" {
		options = append(options, kgo.InstanceID(cluster.InstanceID))
	}
	return options
}

// membership hears why the group did not take the member, or put it out.
type membership struct {
	*member
	joined atomic.Bool // once
}

// assigned is the member's assign, which comes with each join, be it with no partition.
func (s *membership) assigned(ctx context.Context, client *kgo.Client, added map[string][]int32) {
	s.joined.Store(true)
	s.assign(ctx, client, added)
}

var _ kgo.HookGroupManageError = (*membership)(nil)

// OnGroupManageError ends the member for what no further try mends. The client itself goes on trying for ever, which is right
// for everything else.
func (s *membership) OnGroupManageError(err error) {
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		s.fail(fmt.Errorf("another worker has joined as KAFKA_INSTANCE_ID: each needs a name of its own: %w", err))
	case errors.Is(err, kerr.InvalidSessionTimeout):
		s.fail(fmt.Errorf("the brokers do not take KAFKA_SESSION_TIMEOUT=%s: they take from group.min.session.timeout.ms (6s unless set) to group.max.session.timeout.ms (30m); set the one or the other: %w",
			s.options.SessionTimeout, err))
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		s.options.Logger.Error("the group has members of another program, with which its partitions cannot be shared; it is waited for until they are stopped",
			"group", s.consumer.Group)
	case s.joined.Load(): // lost rights may come back
	case errors.Is(err, kerr.GroupAuthorizationFailed), errors.Is(err, kerr.TopicAuthorizationFailed),
		errors.Is(err, kerr.GroupMaxSizeReached), errors.Is(err, kerr.InvalidGroupID):
		s.fail(fmt.Errorf("the group cannot be joined: %w", err))
	}
}
