package clitest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/observe"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// What is seen costs beside nothing seen, in one run: each way in turn, the best of the rounds. "-x" is the time beside
// that of "off"; "sampled" makes and batches every span and exports it to nobody, "unsampled" is what a sampler leaves out.
//
//	go test ./shared/cli/clitest -run '^$' -bench Observe -cpu 2 -benchtime 20x
const (
	off       = "off"
	passing   = "passing" // a traceparent came, and goes on
	metrics   = "metrics"
	logged    = "log"
	unsampled = "unsampled"
	sampled   = "sampled"
)

var ways = []string{off, passing, metrics, logged, unsampled, sampled}

func benchTracing(b *testing.B, way string) *observe.Tracing {
	var provider *sdk.TracerProvider
	switch way {
	case sampled:
		provider = sdk.NewTracerProvider(sdk.WithBatcher(tracetest.NewNoopExporter()))
	case unsampled:
		provider = sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))
	default:
		return nil
	}
	b.Cleanup(func() { provider.Shutdown(context.Background()) })
	return observe.TracingTo(provider)
}

// costs are the best time and the least allocations of each way.
type costs map[string]*struct{ best, allocations float64 }

func (c costs) of(way string, n int, run func()) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	run()
	took := float64(time.Since(began).Nanoseconds()) / float64(n)
	runtime.ReadMemStats(&after)
	allocations := float64(after.Mallocs-before.Mallocs) / float64(n)
	if c[way] == nil {
		c[way] = &struct{ best, allocations float64 }{took, allocations}
	}
	c[way].best, c[way].allocations = min(c[way].best, took), min(c[way].allocations, allocations)
}

func (c costs) report(b *testing.B) {
	b.ReportMetric(0, "ns/op") // of all together: says nothing
	for _, way := range ways {
		b.ReportMetric(c[way].best, way+"-ns")
		b.ReportMetric(c[way].allocations, way+"-allocs")
		if way != off {
			b.ReportMetric(c[way].best/c[off].best, way+"-x")
		}
	}
}

// BenchmarkObserveEvent is the cost per event delivered by the engine to a handler that does nothing.
func BenchmarkObserveEvent(b *testing.B) {
	const n = 20_000
	header := []bus.Header{{Key: "traceparent", Value: []byte(strings.TrimPrefix(traceparent, "traceparent: "))}}
	e, err := events.New(events.RequestCreated{Request: events.Request{
		Name: "Grace Hopper", Email: "grace@example.com", Phone: "+1 (212) 555-0142", Address: "Harbor Way 1", City: "New York",
		Country: "USA", DrinksList: []string{"Mate"},
	}})
	require.NoError(b, err)
	value, err := e.Encode()
	require.NoError(b, err)
	options := map[string]bus.Options{}
	logger := observe.Logger(io.Discard, true, slog.LevelInfo)
	for _, way := range ways {
		o := bus.Options{Tracer: benchTracing(b, way).Events()}
		switch way {
		case metrics:
			o.Report = observe.NewMetrics(observe.Build{}).Events("request-created", "bench")
		case logged:
			o.Report = bus.Log(logger, "bench")
		}
		options[way] = o
	}
	seen := costs{}
	for b.Loop() {
		for _, way := range ways {
			records := make([]bus.Record, n)
			for i := range records {
				records[i] = bus.Record{Topic: "request-created", Offset: int64(i), Timestamp: time.Now(), Key: fmt.Appendf(nil, "k%d", i), Value: value}
				if way != off && way != metrics && way != logged {
					records[i].Headers = header
				}
			}
			nothing := func(context.Context, events.Event[events.RequestCreated]) error { return nil }
			p := bus.NewEngine(bus.NewConsumer("bench", nothing), nil, options[way]).Open(0, nil)
			seen.of(way, n, func() {
				for batch := range 40 {
					p.Deliver(records[batch*500 : (batch+1)*500])
				}
				require.NoError(b, p.Wait(b.Context()))
			})
			require.NoError(b, p.Close(b.Context()))
		}
	}
	seen.report(b)
}

// BenchmarkObservePost is the cost per POST, from the router to a publisher that writes nowhere.
func BenchmarkObservePost(b *testing.B) {
	const n = 5_000
	logger := slog.New(slog.DiscardHandler)
	routers := map[string]http.Handler{}
	for _, way := range ways {
		var publisher bus.Publisher = nowhere{}
		options := []web.Option{web.Log(logger), web.Open()}
		if t := benchTracing(b, way); t != nil {
			publisher = t.Publisher(publisher)
			options = append(options, web.Observe(t.Web))
		}
		switch way {
		case metrics:
			m := observe.NewMetrics(observe.Build{})
			publisher = m.Publisher(publisher)
			options = append(options, web.Observe(m.Web))
		case logged:
			options[0] = web.Log(observe.Logger(io.Discard, true, slog.LevelInfo))
		}
		routers[way] = web.Router(commands.Commands{Publisher: publisher}.Functions(), options...)
	}
	seen := costs{}
	for b.Loop() {
		for _, way := range ways {
			requests := make([]*http.Request, n)
			for i := range requests {
				requests[i] = httptest.NewRequest(http.MethodPost, "/contacts", strings.NewReader(AContact))
				requests[i].Header.Set("Content-Type", "application/json")
				if way != off && way != metrics && way != logged {
					requests[i].Header.Set("traceparent", strings.TrimPrefix(traceparent, "traceparent: "))
				}
			}
			answer := httptest.NewRecorder()
			seen.of(way, n, func() {
				for _, r := range requests {
					answer.Body.Reset()
					routers[way].ServeHTTP(answer, r)
				}
			})
			require.Equal(b, http.StatusAccepted, answer.Code)
		}
	}
	seen.report(b)
}

type nowhere struct{}

func (nowhere) Publish(_ context.Context, e events.Any) (bus.Position, error) {
	_, err := e.Encode()
	return bus.Position{Topic: e.Topic()}, err
}
