package kafka

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Needs is what a program is about to rely on.
type Needs struct {
	Read, Write []string // topics
	Groups      []string // consumer groups that it joins
}

func (n Needs) topics() []string {
	all := append(slices.Clone(n.Read), n.Write...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (n Needs) topicFaults(m *kmsg.MetadataResponse, cluster settings.Kafka) (faults []error) {
	for _, t := range m.Topics {
		name := *t.Topic
		if err := notSeen(t, cluster); err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.Contains(n.Read, name) && forbidden(t.AuthorizedOperations, kmsg.ACLOperationRead) {
			faults = append(faults, denied(cluster, "read", "Read", "topic", name))
		}
		if slices.Contains(n.Write, name) && forbidden(t.AuthorizedOperations, kmsg.ACLOperationWrite) {
			faults = append(faults, denied(cluster, "write to", "Write", "topic", name))
		}
	}
	return faults
}

// notSeen says why a topic is not to be seen.
func notSeen(t kmsg.MetadataResponseTopic, cluster settings.Kafka) error {
	switch err := kerr.ErrorForCode(t.ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		remedy := ""
		if slices.ContainsFunc(events.Catalogue(), func(d events.Definition) bool {
			return *t.Topic == d.Topic || *t.Topic == bus.DeadLetterTopic(d.Topic)
		}) {
			remedy = "; `sipeat topics` makes it"
		}
		return events.Errorf(events.NotFound, "there is no topic %s%s", *t.Topic, remedy)
	case errors.Is(err, kerr.InvalidTopicException):
		return events.Errorf(events.NotFound, "there is no topic %q, and there cannot be one of such a name", *t.Topic)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return denied(cluster, "see", "Describe", "topic", *t.Topic)
	case err != nil && !kerr.IsRetriable(err): // a leader that is being chosen is waited for
		return fmt.Errorf("topic %s: %w", *t.Topic, err)
	}
	return nil
}

// forbidden reads the brokers' list of what we may do. Where they give none, trying has to show it.
func forbidden(allowed int32, operation kmsg.ACLOperation) bool {
	return allowed != math.MinInt32 && allowed&(1<<operation) == 0
}

// groupFaults asks each group's coordinator with the heartbeat of a member that is none: it changes nothing, wants the
// same right as joining, and is answered for a group that does not exist yet too.
func (n Needs) groupFaults(ctx context.Context, client *kgo.Client, cluster settings.Kafka) (faults []error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, group := range n.Groups {
		request := kmsg.NewPtrHeartbeatRequest()
		request.Group, request.MemberID, request.Generation = group, "sipeat-check", -1
		response, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		switch {
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			faults = append(faults, denied(cluster, "join", "Read", "group", group))
		case errors.Is(err, kerr.InvalidGroupID):
			faults = append(faults, fmt.Errorf("consumer group %q: the brokers do not take such a name", group))
		case ctx.Err() != nil:
			return append(faults, fmt.Errorf("consumer group %s: its coordinator does not answer (is the topic __consumer_offsets whole?): %w", group, err))
		}
	}
	return faults
}

// actions are MSK's names of Kafka's rights (https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html).
var actions = map[string]string{
	"topic Read": "kafka-cluster:ReadData", "topic Write": "kafka-cluster:WriteData", "topic Create": "kafka-cluster:CreateTopic",
	"topic Describe": "kafka-cluster:DescribeTopic", "topic DescribeConfigs": "kafka-cluster:DescribeTopicDynamicConfiguration",
	"group Read": "kafka-cluster:AlterGroup and kafka-cluster:DescribeGroup", "group Describe": "kafka-cluster:DescribeGroup",
	"cluster DescribeConfigs": "kafka-cluster:DescribeClusterDynamicConfiguration",
}

// denied is a right that is missing, and how it is given.
func denied(cluster settings.Kafka, what, operation, kind, name string) error {
	user, principal := "whoever does not log in", "ANONYMOUS"
	if cluster.Username != "" {
		user, principal = fmt.Sprintf("user %q", cluster.Username), cluster.Username
	}
	if cluster.Mechanism == settings.AWSMSKIAM {
		return fmt.Errorf("the AWS identity may not %s %s %s: its policy has to allow %s there", what, kind, name, actions[kind+" "+operation])
	}
	return fmt.Errorf("%s may not %s %s %s: whoever runs Kafka has to allow it (kafka-acls --bootstrap-server %s --add --allow-principal User:%s --operation %s --%s %s)",
		user, what, kind, name, cluster.Brokers[0], principal, operation, kind, name)
}
