package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// BrokerState is one broker, as we were told of it or as it names itself.
type BrokerState struct {
	Address string
	Given   bool         // by the settings; otherwise by the cluster
	Named   bool         // by the cluster, in what it advertises; false for all = it did not say
	Found   *Unreachable // nil = through
}

// Brokers goes to every broker: those that the settings name and, through them, the others.
func Brokers(ctx context.Context, cluster settings.Kafka) []BrokerState {
	through, states := probeAll(ctx, cluster, cluster.Brokers, true)
	if len(through) == 0 {
		return states
	}
	seeds := cluster
	seeds.Brokers = through
	client, err := newClient(seeds, discard)
	if err != nil {
		return states
	}
	defer client.Close()
	metadata, err := Needs{}.ask(ctx, client, cluster)
	if err != nil {
		return states
	}
	unknown := advertised(metadata, cluster.Brokers)
	all := advertised(metadata, nil)
	_, others := probeAll(ctx, cluster, unknown, false)
	states = append(states, others...)
	for i := range states {
		states[i].Named = slices.Contains(all, states[i].Address)
	}
	return states
}

func probeAll(ctx context.Context, cluster settings.Kafka, addresses []string, given bool) (through []string, states []BrokerState) {
	states = make([]BrokerState, len(addresses))
	var probing sync.WaitGroup
	for i, address := range addresses {
		probing.Go(func() { states[i] = BrokerState{Address: address, Given: given, Found: Probe(ctx, cluster, address)} })
	}
	probing.Wait()
	for _, s := range states {
		if s.Found == nil {
			through = append(through, s.Address)
		}
	}
	return through, states
}

// BrokerSettings are some settings of the brokers by name; where brokers differ, each value there is.
func BrokerSettings(ctx context.Context, cluster settings.Kafka, names ...string) (map[string][]string, error) {
	return withAdmin(cluster, func(admin *kadm.Client) (map[string][]string, error) {
		brokers, err := admin.ListBrokers(ctx)
		if err != nil {
			return nil, fmt.Errorf("the brokers do not say who they are: %w", err)
		}
		described, err := admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
		if errors.Is(err, kerr.ClusterAuthorizationFailed) {
			return nil, denied(cluster, "see the settings of", "DescribeConfigs", "cluster", "")
		}
		if err != nil {
			return nil, fmt.Errorf("the brokers do not say how they are set: %w", err)
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
