package consumers_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/sqlite"
)

// world is the consumers on a real read model, with a publisher and a notifier that remember.
type world struct {
	consumers.Consumers
	topic       *topic
	notifier    *fakeNotifier
	model       store.Store
	claims      *fakeClaims
	deadLetters []bus.DeadLetter
}

func newWorld(t *testing.T) *world {
	t.Helper()
	model, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "model.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, model.Close()) })
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"), time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, claims.Close()) })
	w := &world{topic: &topic{}, notifier: &fakeNotifier{}, model: model, claims: &fakeClaims{Claims: claims}}
	w.Consumers = consumers.Consumers{
		Publisher: w.topic, Notifier: notify.Channels{{Notifier: w.notifier}}, Store: model, Claims: w.claims,
		AnnouncedBy: []string{"sipeat-app"},
		Events:      events.Factory{Now: func() time.Time { return noon }},
	}
	return w
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// topic records what is published, encoded as on the topic.
type topic struct {
	published []events.Event[events.Notification]
	keys      []string
	err       error
}

func (p *topic) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	if p.err != nil {
		return bus.Position{}, p.err
	}
	b, err := e.Encode()
	if err != nil {
		return bus.Position{}, err
	}
	n, err := events.Decode[events.Notification](b)
	p.published, p.keys = append(p.published, n), append(p.keys, e.Key())
	return bus.Position{Topic: e.Topic(), Offset: int64(len(p.published))}, err
}

// fakeNotifier keeps the messages.
type fakeNotifier struct {
	messages []notify.Message
	err      error
	during   func() // while it is sent
}

func (n *fakeNotifier) Notify(_ context.Context, m notify.Message) error {
	n.messages = append(n.messages, m)
	if n.during != nil {
		n.during()
	}
	return n.err
}

// fakeClaims are claims of which one step can be unavailable.
type fakeClaims struct {
	store.Claims
	mu      sync.Mutex
	failing string          // complete, release or fail
	leases  []time.Duration // of the claims so far
	claimed func()          // called after each claim, if set
}

func (c *fakeClaims) unlessFailing(step string, do func() error) error {
	if step == c.failing {
		return events.Wrap(events.Unavailable, context.DeadlineExceeded, "no database")
	}
	return do()
}

func (c *fakeClaims) Claim(ctx context.Context, id, channel string, lease time.Duration) (store.Claim, time.Duration, error) {
	c.mu.Lock()
	c.leases = append(c.leases, lease)
	c.mu.Unlock()
	if c.claimed != nil {
		defer c.claimed()
	}
	return c.Claims.Claim(ctx, id, channel, lease)
}

func (c *fakeClaims) Complete(ctx context.Context, id, channel string) error {
	return c.unlessFailing("complete", func() error { return c.Claims.Complete(ctx, id, channel) })
}

func (c *fakeClaims) Release(ctx context.Context, id, channel string) error {
	return c.unlessFailing("release", func() error { return c.Claims.Release(ctx, id, channel) })
}

func (c *fakeClaims) Fail(ctx context.Context, id, channel, class string) error {
	return c.unlessFailing("fail", func() error { return c.Claims.Fail(ctx, id, channel, class) })
}

// claim claims the notification of the test by a channel, as another process would.
func (w *world) claim(t *testing.T, channel string) store.Claim {
	t.Helper()
	claim, _, err := w.Claims.Claim(t.Context(), "n-1", channel, time.Hour)
	require.NoError(t, err)
	return claim
}

// Write implements bus.DeadLetters.
func (w *world) Write(_ context.Context, l bus.DeadLetter) error {
	w.deadLetters = append(w.deadLetters, l)
	return nil
}

// deliver passes a record to its consumer through the delivery engine, and returns the outcome of the first try.
func (w *world) deliver(t *testing.T, topic string, record []byte) bus.Report {
	t.Helper()
	return w.run(t, w.function(t, topic).Consumer, record)
}

func (w *world) run(t *testing.T, c bus.Consumer, record []byte) bus.Report {
	t.Helper()
	var once sync.Once
	first := make(chan bus.Report, 1)
	engine := bus.NewEngine(c, w.DeadLetters(w), bus.Options{
		Report:     func(r bus.Report) { once.Do(func() { first <- r }) },
		MinBackoff: time.Hour, MaxBackoff: time.Hour, // one try is enough
	})
	partition := engine.Open(t.Context(), 0, time.Time{}, nil)
	partition.Deliver([]bus.Record{{Topic: c.Topic, Value: record, Timestamp: noon}})
	report := <-first
	require.NoError(t, partition.Close(t.Context()))
	return report
}

func (w *world) function(t *testing.T, name string) consumers.Function {
	t.Helper()
	for _, f := range w.Functions() {
		if f.Name == name {
			return f
		}
	}
	require.Fail(t, "no function "+name)
	return consumers.Function{}
}

// read is an event as decoded from a topic, without validation.
func read[T events.Payload](producer string, data T) events.Event[T] {
	return events.Event[T]{
		ID: "e-1", Type: data.Topic(), Data: data,
		Metadata: events.Metadata{Timestamp: events.At(noon), Producer: producer},
	}
}

func base(id string) events.Base {
	return events.Base{ID: id, Timestamp: events.At(noon.Add(-time.Hour))}
}
