package program

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// watching is the whole program in this process, all that can be seen of it, and parts that can be made to fail.
type watching struct {
	t       testing.TB
	url     string
	brokers string
	log     Transcript
	spans   *tracetest.InMemoryExporter
	metrics *observe.Metrics

	mu     sync.Mutex
	notify func(notify.Message) error // what the notifier does
	step   func(topic string, said any) error
}

func watch(t testing.TB, extra ...web.Function) *watching {
	w := &watching{t: t, spans: tracetest.NewInMemoryExporter(), metrics: observe.NewMetrics(observe.Build{Version: "test"})}
	provider := sdk.NewTracerProvider(sdk.WithSyncer(w.spans))
	tracing := observe.TracingTo(provider)
	logger := observe.Logger(&w.log, true, slog.LevelDebug)

	options := []kfake.Opt{kfake.NumBrokers(1)}
	for _, topic := range kafka.Topics(events.Catalogue()...) {
		options = append(options, kfake.SeedTopics(topic.Partitions, topic.Name))
	}
	broker, err := kfake.NewCluster(options...)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	cluster := settings.Kafka{Brokers: broker.ListenAddrs()}
	w.brokers = strings.Join(cluster.Brokers, ",")
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "read-model.db"))
	require.NoError(t, err)
	t.Cleanup(func() { store.Close() })
	claims, err := sqlite.OpenClaims(t.Context(), filepath.Join(t.TempDir(), "claims.db"))
	require.NoError(t, err)
	t.Cleanup(func() { claims.Close() })
	written, err := kafka.NewPublisher(cluster, logger)
	require.NoError(t, err)
	t.Cleanup(func() { written.Close(context.Background()) })
	letters, err := kafka.NewDeadLetters(cluster, logger)
	require.NoError(t, err)
	t.Cleanup(letters.Close)
	publisher := w.metrics.Publisher(tracing.Publisher(written))
	joined := consumers.Consumers{Publisher: publisher, Notifier: w.metrics.Notifier(tracing.Notifier(w)), Store: store, Claims: claims}

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { stop(); running.Wait() })
	for _, f := range joined.Functions() {
		c, seen := f.Consumer, &kafka.Watch{}
		w.metrics.Watch(c.Topic, c.Group, seen)
		if c.Topic == "machine-created" {
			c = bus.NewConsumer(c.Group, w.machine)
		}
		running.Go(func() {
			if err := kafka.Consume(ctx, cluster, c, kafka.Options{
				Logger: logger, Watch: seen, DeadLetters: letters,
				Delivery: bus.Options{
					Report: observe.All(bus.Log(logger, c.Group), w.metrics.Events(c.Topic, c.Group)), Tracer: tracing.Events(),
					Attempts: 2, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, StallAfter: 100,
				},
			}); err != nil {
				t.Error(err)
			}
		})
	}
	functions := append(commands.Commands{Publisher: publisher}.Functions(), queries.Queries{Store: store, Claims: claims}.Functions()...)
	server := httptest.NewServer(web.Router(append(functions, extra...),
		web.Log(logger), web.Open(), web.Observe(tracing.Web), web.Observe(w.metrics.Web)))
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *watching) Notify(_ context.Context, m notify.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.notify == nil {
		return nil
	}
	return w.notify(m)
}

func (w *watching) machine(_ context.Context, e events.Event[events.MachineCreated]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.step == nil {
		return nil
	}
	return w.step(e.Topic(), e.Data)
}

func (w *watching) fails(notifier func(notify.Message) error, step func(string, any) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify, w.step = notifier, step
}

// scrape is what Prometheus reads.
func (w *watching) scrape() string {
	answer := httptest.NewRecorder()
	w.metrics.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(w.t, http.StatusOK, answer.Code)
	return answer.Body.String()
}

// exported is all spans that are over, as text.
func (w *watching) exported() string {
	var b bytes.Buffer
	for _, s := range w.spans.GetSpans() {
		b.WriteString(s.Name + " " + s.Status.Description)
		for _, a := range s.Attributes {
			b.WriteString(" " + string(a.Key) + "=" + a.Value.String())
		}
		for _, e := range s.Events {
			b.WriteString(" event " + e.Name)
			for _, a := range e.Attributes {
				b.WriteString(" " + string(a.Key) + "=" + a.Value.String())
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
