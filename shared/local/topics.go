package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ensureTopics makes the declared topics exist as declared. It runs on every
// Open, so that a later version of the catalogue reaches a folder of an
// earlier one (kfake's SeedTopics is ignored on a folder that has data).
// Partitions are added and never taken away; a setting that is no longer
// declared keeps its last value.
func ensureTopics(ctx context.Context, address string, declared []Topic) error {
	if len(declared) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return fmt.Errorf("local broker: admin client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)

	existing, err := adm.ListTopics(ctx)
	if err != nil {
		return fmt.Errorf("local broker: list topics: %w", err)
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	var present []Topic
	for _, t := range declared {
		if t.Partitions < 1 {
			return fmt.Errorf("local broker: topic %s: %d partitions declared, want at least 1", t.Name, t.Partitions)
		}
		t.Configs = withDefaults(t.Configs)
		if !existing.Has(t.Name) {
			create.Topics = append(create.Topics, createTopic(t))
			continue
		}
		present = append(present, t)
		if int32(len(existing[t.Name].Partitions)) < t.Partitions {
			grown, err := adm.UpdatePartitions(ctx, int(t.Partitions), t.Name)
			if err = errors.Join(err, grown.Error()); err != nil {
				return fmt.Errorf("local broker: topic %s: grow to %d partitions: %w", t.Name, t.Partitions, err)
			}
		}
	}
	if err := createTopics(ctx, cl, create); err != nil {
		return err
	}
	return alterConfigs(ctx, adm, present)
}

// withDefaults: unless told otherwise a topic is the truth and is kept for ever.
func withDefaults(configs map[string]*string) map[string]*string {
	forever := "-1"
	all := map[string]*string{"retention.ms": &forever, "retention.bytes": &forever}
	maps.Copy(all, configs)
	return all
}

func createTopic(t Topic) kmsg.CreateTopicsRequestTopic {
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.Name, t.Partitions, -1
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		if v := t.Configs[name]; v != nil {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = name, v
			rt.Configs = append(rt.Configs, c)
		}
	}
	return rt
}

// createTopics sends one request for all: kfake rewrites and syncs its topic list per request.
func createTopics(ctx context.Context, cl *kgo.Client, req *kmsg.CreateTopicsRequest) error {
	if len(req.Topics) == 0 {
		return nil
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("local broker: create topics: %w", err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return fmt.Errorf("local broker: create topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

// alterConfigs writes only what differs, for the same reason.
func alterConfigs(ctx context.Context, adm *kadm.Client, topics []Topic) error {
	if len(topics) == 0 {
		return nil
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
	}
	described, err := adm.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return fmt.Errorf("local broker: describe topics: %w", err)
	}
	for _, t := range topics {
		rc, err := described.On(t.Name, nil)
		if err = errors.Join(err, rc.Err); err != nil {
			return fmt.Errorf("local broker: describe topic %s: %w", t.Name, err)
		}
		changes := changedConfigs(rc.Configs, t.Configs)
		if len(changes) == 0 {
			continue
		}
		altered, err := adm.AlterTopicConfigs(ctx, changes, t.Name)
		if err == nil {
			_, err = altered.On(t.Name, func(r *kadm.AlterConfigsResponse) error { return r.Err })
		}
		if err != nil {
			return fmt.Errorf("local broker: topic %s: set configs: %w", t.Name, err)
		}
	}
	return nil
}

func changedConfigs(have []kadm.Config, want map[string]*string) []kadm.AlterConfig {
	set := make(map[string]string)
	for _, c := range have {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			set[c.Key] = c.MaybeValue()
		}
	}
	var changes []kadm.AlterConfig
	for _, name := range slices.Sorted(maps.Keys(want)) {
		is, ok := set[name]
		switch v := want[name]; {
		case v == nil && ok:
			changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
		case v != nil && (!ok || is != *v):
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: v})
		}
	}
	return changes
}
