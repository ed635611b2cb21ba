package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reachTimeout is how long all that Reach asks may take.
const reachTimeout = 14 * time.Second

// askTimeout is how long brokers that can be reached may take to answer.
const askTimeout = 6 * time.Second

// Reach says, before anything relies on it, whether the brokers can be reached, and whether what is needed is there and
// allowed: each fault in its own words, within 15 s. What is wrong with some brokers only is logged.
//
// It returns the cluster with those of its addresses that let us through. A client that is given the others too may ask them
// first, and where one hangs it learns nothing of the cluster for 10 s and more; once it has, it knows all brokers by name.
func Reach(ctx context.Context, cluster settings.Kafka, logger *slog.Logger, n Needs) (usable settings.Kafka, err error) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	through, err := reachAny(ctx, cluster, cluster.Brokers, logger)
	if err != nil {
		return cluster, err
	}
	usable = cluster
	usable.Brokers = through
	client, err := newClient(usable, logger)
	if err != nil {
		return cluster, err
	}
	defer client.Close()
	metadata, err := n.ask(ctx, client, cluster)
	if err != nil {
		return cluster, err
	}
	if advertised := advertised(metadata, cluster.Brokers); len(advertised) == len(metadata.Brokers) { // we know none of them
		if _, err := reachAny(ctx, cluster, advertised, logger); err != nil {
			return cluster, fmt.Errorf("%s answers, but says that its brokers are to be found at %s (their advertised.listeners), where none can be reached:\n%w",
				strings.Join(through, ", "), strings.Join(advertised, ", "), err)
		}
	}
	return usable, errors.Join(append(n.topicFaults(metadata, cluster), n.groupFaults(ctx, client, cluster)...)...)
}

// reachAny goes to all brokers at once. It is an error if none lets us through; otherwise those that do not are logged.
func reachAny(ctx context.Context, cluster settings.Kafka, addresses []string, logger *slog.Logger) (through []string, err error) {
	through, states := probeAll(ctx, cluster, addresses, true)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var faults []error
	for _, s := range states {
		if s.Found != nil {
			faults = append(faults, s.Found)
		}
	}
	if len(through) == 0 {
		return nil, errors.Join(faults...)
	}
	for _, fault := range faults {
		logger.Warn("a broker cannot be used, others can", "reason", fault.Error())
	}
	return through, nil
}

// advertised are the brokers' own names that are not among those that are known already.
func advertised(m *kmsg.MetadataResponse, known []string) (addresses []string) {
	for _, b := range m.Brokers {
		if address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))); !slices.Contains(known, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// ask asks for the topics, and what may be done with them.
func (n Needs) ask(ctx context.Context, client *kgo.Client, cluster settings.Kafka) (*kmsg.MetadataResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{}
	request.IncludeTopicAuthorizedOperations = true
	for _, name := range n.topics() {
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr(name)
		request.Topics = append(request.Topics, topic)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("the brokers at %s let us in but do not answer (are they starting, or overloaded?): %w", strings.Join(cluster.Brokers, ", "), err)
	}
	return response, nil
}
