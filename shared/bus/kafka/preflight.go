package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	preflightTimeout = 14 * time.Second
	metadataTimeout  = 6 * time.Second // of brokers that can be reached
)

// Requirements are what a program is about to use.
type Requirements struct {
	Read, Write []string // topics
	Groups      []string // consumer groups that it joins
}

// Preflight checks, before a program relies on them, that brokers can be reached, and that its requirements exist and are
// permitted. It names each fault, within 15 s. Brokers that cannot be used while others can are logged.
//
// It returns the cluster with those of its addresses that can be used. A client that has the others too may try them first, and
// if one hangs, it gets no metadata for 10 s and more; once it has, it knows all brokers by name.
func Preflight(ctx context.Context, cluster settings.Kafka, logger *slog.Logger, r Requirements) (usable settings.Kafka,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	usable, err = usableBrokers(ctx, cluster, logger)
	if err != nil {
		return cluster, err
	}
	return withClient(usable, func(client *kgo.Client) (settings.Kafka, error) {
		faults, err := r.topicFaults(ctx, client, cluster)
		if err != nil {
			return cluster, err
		}
		return usable, errors.Join(append(faults, r.groupFaults(ctx, client, cluster)...)...)
	})
}

// usableBrokers returns the cluster with those of its addresses that can be used.
func usableBrokers(ctx context.Context, cluster settings.Kafka, logger *slog.Logger) (usable settings.Kafka, err error) {
	usable = cluster
	usable.Brokers = nil
	var faults, othersFaults []error
	named, reachable := false, false
	for _, s := range Brokers(ctx, cluster) {
		switch {
		case s.Fault == nil && s.Given:
			usable.Brokers = append(usable.Brokers, s.Address)
		case s.Fault != nil && s.Given:
			faults = append(faults, s.Fault)
		case s.Fault != nil:
			othersFaults = append(othersFaults, s.Fault)
		}
		named = named || s.Advertised
		reachable = reachable || s.Advertised && s.Fault == nil
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return cluster, ctx.Err()
	case len(usable.Brokers) == 0:
		return cluster, errors.Join(faults...)
	case named && !reachable:
		return cluster, fmt.Errorf("%s answers, but none of the brokers that the cluster advertises (advertised.listeners) can be"+
			" used:\n%w", strings.Join(usable.Brokers, ", "), errors.Join(othersFaults...))
	}
	for _, fault := range append(faults, othersFaults...) {
		logger.Warn("a broker cannot be used, but others can", "reason", fault.Error())
	}
	return usable, nil
}

// describe requests the metadata of topics, with what is permitted on them.
func describe(ctx context.Context, client *kgo.Client, cluster settings.Kafka, names []string) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	request.IncludeTopicAuthorizedOperations = true
	for _, name := range names {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = &name
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("the brokers at %s accept connections but do not answer (are they starting, or overloaded?): %w",
			strings.Join(cluster.Brokers, ", "), err)
	}
	return response, nil
}

// topicFaults checks that the topics exist, and what is permitted on them.
func (r Requirements) topicFaults(ctx context.Context, client *kgo.Client, cluster settings.Kafka) (faults []error, err error) {
	names := append(slices.Clone(r.Read), r.Write...)
	slices.Sort(names)
	names = slices.Compact(names)
	unknown := func(t kmsg.MetadataResponseTopic) bool { return t.ErrorCode == kerr.UnknownTopicOrPartition.Code }
	var metadata *kmsg.MetadataResponse
	for range 10 { // a broker may not know a topic yet that was just created
		if metadata, err = describe(ctx, client, cluster, names); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(metadata.Topics, unknown) || !pause(ctx, 100*time.Millisecond) {
			break
		}
	}
	for _, t := range metadata.Topics {
		name := *t.Topic
		if err := topicFault(t, cluster); err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.Contains(r.Read, name) && forbidden(t.AuthorizedOperations, kmsg.ACLOperationRead) {
			faults = append(faults, denied(cluster, "Read", "topic", name))
		}
		if slices.Contains(r.Write, name) && forbidden(t.AuthorizedOperations, kmsg.ACLOperationWrite) {
			faults = append(faults, denied(cluster, "Write", "topic", name))
		}
	}
	return faults, nil
}

// topicFault returns why a topic cannot be used; nil = it can, or will be soon.
func topicFault(t kmsg.MetadataResponseTopic, cluster settings.Kafka) error {
	name := *t.Topic
	switch err := kerr.ErrorForCode(t.ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		remedy := ""
		if slices.ContainsFunc(events.Catalogue(), func(d events.Definition) bool {
			return name == d.Topic || name == bus.DeadLetterTopic(d.Topic)
		}) {
			remedy = "; `sipeat topics` creates it"
		}
		return events.Errorf(events.NotFound, "there is no topic %s%s", name, remedy)
	case errors.Is(err, kerr.InvalidTopicException):
		return events.Errorf(events.NotFound, "there is no topic %q: the name is not valid", name)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return denied(cluster, "Describe", "topic", name)
	case err != nil && !kerr.IsRetriable(err): // the election of a leader ends
		return fmt.Errorf("topic %s: %w", name, err)
	}
	return nil
}

// forbidden reads the brokers' list of permitted operations. Where they give none, only a try shows it.
func forbidden(allowed int32, operation kmsg.ACLOperation) bool {
	return allowed != math.MinInt32 && allowed&(1<<operation) == 0
}

// groupFaults sends each group's coordinator the heartbeat of a member that does not exist: it changes nothing, needs the same
// right as joining, and is answered for a group that does not exist yet, too.
func (r Requirements) groupFaults(ctx context.Context, client *kgo.Client, cluster settings.Kafka) (faults []error) {
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	for _, group := range r.Groups {
		request := kmsg.NewPtrHeartbeatRequest()
		request.Group, request.MemberID, request.Generation = group, "sipeat-check", -1
		response, err := request.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		switch {
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			faults = append(faults, denied(cluster, "Read", "group", group))
		case ctx.Err() != nil:
			return append(faults,
				fmt.Errorf("consumer group %s: its coordinator does not answer (is the topic __consumer_offsets available?): %w", group, err))
		}
	}
	return faults
}

// actions are MSK's names of Kafka's rights (https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html).
var actions = map[string]string{
	"Read topic": "kafka-cluster:ReadData", "Write topic": "kafka-cluster:WriteData", "Create topic": "kafka-cluster:CreateTopic",
	"Describe topic": "kafka-cluster:DescribeTopic", "DescribeConfigs topic": "kafka-cluster:DescribeTopicDynamicConfiguration",
	"Read group": "kafka-cluster:AlterGroup and kafka-cluster:DescribeGroup", "Describe group": "kafka-cluster:DescribeGroup",
}

// denied is the error of a missing right, as Kafka names it; it says how to grant it.
func denied(cluster settings.Kafka, operation, kind, name string) error {
	if cluster.Mechanism == settings.AWSMSKIAM {
		return fmt.Errorf("the AWS identity lacks the right %s on %s %s: its policy has to allow %s there", operation, kind, name,
			actions[operation+" "+kind])
	}
	user, principal := "an anonymous client", "ANONYMOUS"
	if cluster.Username != "" {
		user, principal = fmt.Sprintf("user %q", cluster.Username), cluster.Username
	}
	return fmt.Errorf("%s lacks the right %s on %s %s: an administrator of Kafka has to grant it"+
		" (kafka-acls --bootstrap-server %s --add --allow-principal User:%s --operation %s --%s %s)",
		user, operation, kind, name, cluster.Brokers[0], principal, operation, kind, name)
}
