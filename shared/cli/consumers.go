package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/web"
)

func (p *parts) consumers() consumers.Consumers {
	return consumers.Consumers{
		Publisher: p.events, Notifier: p.notifier, Store: p.store, Claims: p.claims, AnnouncedBy: p.settings.AnnouncedByProducer,
	}
}

// allConsumers is the table of the consumers, to be read only.
func allConsumers() []consumers.Function { return consumers.Consumers{}.Functions() }

// startConsumers runs consumers until the parts are closed; the first failure is one of all. assigned, if not nil, is called
// with the partitions of a topic when they change.
func (p *parts) startConsumers(functions []consumers.Function, assigned func(topic string, partitions []int32)) error {
	deadLetters, err := p.openDeadLetters()
	if err != nil {
		return err
	}
	watches := make([]kafka.Watch, len(functions))
	var running sync.WaitGroup
	for i, f := range functions {
		topic, group, watch := f.Consumer.Topic, f.Consumer.Group, &watches[i]
		p.metrics.Watch(topic, group, watch)
		running.Go(func() {
			err := kafka.Consume(p.running, p.cluster, f.Consumer, kafka.Options{
				Logger: p.logger, Watch: watch, Assigned: assigned, Advance: p.store.Advance, DeadLetters: deadLetters,
				Delivery: bus.Options{
					Report: observe.All(bus.Log(p.logger, group), p.metrics.Events(topic, group)),
					Tracer: p.tracing.Events(), GiveUpAfter: p.settings.Notify.RetryFor,
				},
			})
			if err != nil {
				p.fail(err)
			}
		})
	}
	p.checks = append(p.checks, consumersCheck(functions, watches))
	p.add("consumers", func(context.Context) error { // each has its own timeout
		p.stop()
		running.Wait()
		return nil
	})
	return nil
}

// consumersCheck fails while a consumer does not read all of its partitions, and once it has found events lost from the log.
func consumersCheck(functions []consumers.Function, watches []kafka.Watch) web.Check {
	statuses := func() []kafka.Status {
		all := make([]kafka.Status, len(functions))
		for i, f := range functions {
			var running bool
			if all[i], running = watches[i].Status(); !running {
				all[i] = kafka.Status{Topic: f.Consumer.Topic, Group: f.Consumer.Group, Partitions: []int32{}}
			}
		}
		return all
	}
	probe := func(context.Context) error {
		var faulty []string
		for _, s := range statuses() {
			if !s.Healthy() {
				faulty = append(faulty, s.Topic)
			}
		}
		if faulty != nil {
			return fmt.Errorf("consumers of %s are not healthy", strings.Join(faulty, ", "))
		}
		return nil
	}
	return web.Check{Name: "consumers", Probe: probe, Facts: func() any { return statuses() }}
}
