package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	preflightTimeout = 14 * time.Second
	answerWithin     = 6 * time.Second // for brokers that can be reached
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
// where one hangs it learns nothing of the cluster for 10 s and more; once it has, it knows all brokers by name.
func Preflight(ctx context.Context, cluster settings.Kafka, logger *slog.Logger, r Requirements) (usable settings.Kafka,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	states := probeAll(ctx, cluster, cluster.Brokers, true)
	usable = cluster
	usable.Brokers = through(states)
	if err := faults(ctx, states); len(usable.Brokers) == 0 {
		return cluster, err
	}
	for _, s := range states {
		if s.Fault != nil {
			logger.Warn("a broker cannot be used, others can", "reason", s.Fault.Error())
		}
	}
	client, err := newClient(usable, logger)
	if err != nil {
		return cluster, err
	}
	defer client.Close()
	metadata, err := r.metadata(ctx, client, cluster)
	if err != nil {
		return cluster, err
	}
	if others := advertised(metadata, cluster.Brokers); len(others) == len(metadata.Brokers) { // none is known yet
		if states := probeAll(ctx, cluster, others, false); len(through(states)) == 0 {
			return cluster, fmt.Errorf("%s answers, but the cluster advertises its brokers (advertised.listeners) at %s,"+
				" where none can be used:\n%w",
				strings.Join(usable.Brokers, ", "), strings.Join(others, ", "), faults(ctx, states))
		}
	}
	return usable, errors.Join(append(r.topicFaults(metadata, cluster), r.groupFaults(ctx, client, cluster)...)...)
}

// BrokerState is the outcome of probing one broker.
type BrokerState struct {
	Address    string
	Given      bool         // by the settings; otherwise by the cluster
	Advertised bool         // by the cluster; false for all = it did not answer
	Fault      *Unreachable // nil = it can be used
}

// Brokers probes every broker: those of the settings and, through them, the others.
func Brokers(ctx context.Context, cluster settings.Kafka) []BrokerState {
	states := probeAll(ctx, cluster, cluster.Brokers, true)
	usable := cluster
	if usable.Brokers = through(states); len(usable.Brokers) == 0 {
		return states
	}
	client, err := newClient(usable, discard)
	if err != nil {
		return states
	}
	defer client.Close()
	metadata, err := Requirements{}.metadata(ctx, client, cluster)
	if err != nil {
		return states
	}
	states = append(states, probeAll(ctx, cluster, advertised(metadata, cluster.Brokers), false)...)
	all := advertised(metadata, nil)
	for i := range states {
		states[i].Advertised = slices.Contains(all, states[i].Address)
	}
	return states
}

func probeAll(ctx context.Context, cluster settings.Kafka, addresses []string, given bool) []BrokerState {
	states := make([]BrokerState, len(addresses))
	var probing sync.WaitGroup
	for i, address := range addresses {
		probing.Go(func() { states[i] = BrokerState{Address: address, Given: given, Fault: Probe(ctx, cluster, address)} })
	}
	probing.Wait()
	return states
}

func through(states []BrokerState) (addresses []string) {
	for _, s := range states {
		if s.Fault == nil {
			addresses = append(addresses, s.Address)
		}
	}
	return addresses
}

func faults(ctx context.Context, states []BrokerState) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	var all []error
	for _, s := range states {
		if s.Fault != nil {
			all = append(all, s.Fault)
		}
	}
	return errors.Join(all...)
}

// advertised are the brokers' addresses by the cluster that are not among the known ones.
func advertised(m *kmsg.MetadataResponse, known []string) (addresses []string) {
	for _, b := range m.Brokers {
		if address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))); !slices.Contains(known, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// metadata describes the topics, and what is permitted on them.
func (r Requirements) metadata(ctx context.Context, client *kgo.Client, cluster settings.Kafka) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	request.IncludeTopicAuthorizedOperations = true
	names := append(slices.Clone(r.Read), r.Write...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("the brokers at %s accept connections but do not answer (are they starting, or overloaded?): %w",
			strings.Join(cluster.Brokers, ", "), err)
	}
	return response, nil
}

func (r Requirements) topicFaults(m *kmsg.MetadataResponse, cluster settings.Kafka) (faults []error) {
	for _, t := range m.Topics {
		name := *t.Topic
		if err := topicFault(t, cluster); err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.Contains(r.Read, name) && forbidden(t.AuthorizedOperations, kmsg.ACLOperationRead) {
			faults = append(faults, denied(cluster, "read", "Read", "topic", name))
		}
		if slices.Contains(r.Write, name) && forbidden(t.AuthorizedOperations, kmsg.ACLOperationWrite) {
			faults = append(faults, denied(cluster, "write to", "Write", "topic", name))
		}
	}
	return faults
}

// topicFault says why a topic cannot be used; nil = it exists and is visible.
func topicFault(t kmsg.MetadataResponseTopic, cluster settings.Kafka) error {
	switch err := kerr.ErrorForCode(t.ErrorCode); {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		remedy := ""
		if slices.ContainsFunc(events.Catalogue(), func(d events.Definition) bool {
			return *t.Topic == d.Topic || *t.Topic == bus.DeadLetterTopic(d.Topic)
		}) {
			remedy = "; `sipeat topics` creates it"
		}
		return events.Errorf(events.NotFound, "there is no topic %s%s", *t.Topic, remedy)
	case errors.Is(err, kerr.InvalidTopicException):
		return events.Errorf(events.NotFound, "there is no topic %q: the name is not valid", *t.Topic)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return denied(cluster, "see", "Describe", "topic", *t.Topic)
	case err != nil && !kerr.IsRetriable(err): // the election of a leader ends
		return fmt.Errorf("topic %s: %w", *t.Topic, err)
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
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
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
			faults = append(faults, denied(cluster, "join", "Read", "group", group))
		case errors.Is(err, kerr.InvalidGroupID):
			faults = append(faults, fmt.Errorf("consumer group %q: the brokers do not accept this name", group))
		case ctx.Err() != nil:
			return append(faults,
				fmt.Errorf("consumer group %s: its coordinator does not answer (is the topic __consumer_offsets available?): %w", group, err))
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

// denied is the error of a missing right; it says how to grant it.
func denied(cluster settings.Kafka, what, operation, kind, name string) error {
	if cluster.Mechanism == settings.AWSMSKIAM {
		return fmt.Errorf("the AWS identity may not %s %s %s: its policy has to allow %s there", what, kind, name,
			actions[kind+" "+operation])
	}
	user, principal := "an anonymous client", "ANONYMOUS"
	if cluster.Username != "" {
		user, principal = fmt.Sprintf("user %q", cluster.Username), cluster.Username
	}
	return fmt.Errorf("%s may not %s %s %s: an administrator of Kafka has to allow it"+
		" (kafka-acls --bootstrap-server %s --add --allow-principal User:%s --operation %s --%s %s)",
		user, what, kind, name, cluster.Brokers[0], principal, operation, kind, name)
}

// BrokerSettings are some settings of the brokers by name; where brokers differ, each value that occurs.
func BrokerSettings(ctx context.Context, cluster settings.Kafka, names ...string) (map[string][]string, error) {
	return withClient(cluster, func(client *kgo.Client) (map[string][]string, error) {
		admin := kadm.NewClient(client)
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the brokers: %w", err)
		}
		described, err := admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
		if errors.Is(err, kerr.ClusterAuthorizationFailed) {
			return nil, denied(cluster, "see the settings of", "DescribeConfigs", "cluster", "")
		}
		if err != nil {
			return nil, fmt.Errorf("describe the brokers' settings: %w", err)
		}
		values := map[string][]string{}
		for _, d := range described {
			for _, c := range d.Configs {
				if v := c.MaybeValue(); slices.Contains(names, c.Key) && !slices.Contains(values[c.Key], v) {
					values[c.Key] = append(values[c.Key], v)
				}
			}
		}
		return values, nil
	})
}
