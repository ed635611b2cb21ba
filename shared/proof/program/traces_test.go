package program

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	traceparent  = "traceparent: 00-" + callersTrace + "-" + callersSpan + "-01"
)

// chain is what one POST sets off: each span is the parent of the next.
var chain = []string{"POST /contacts", "send contact-created", "process contact-created", "send notification", "process notification", "notify"}

func TestOneTraceFromTheRequestToTheEffect(t *testing.T) {
	t.Parallel()
	w := watch(t)
	a := Call(t, "POST", w.url+"/contacts", AContact, "Content-Type: application/json", traceparent,
		"tracestate: other=1", "baggage: who=somebody")
	require.Equal(t, http.StatusAccepted, a.Status, a.Body)
	found := map[string]tracetest.SpanStub{}
	Until(t, func() error {
		for _, s := range w.spans.GetSpans() {
			found[s.Name] = s
		}
		if len(found) < len(chain) {
			return fmt.Errorf("of %v there are %d", chain, len(found))
		}
		return nil
	})
	parent := callersSpan
	for _, name := range chain {
		s := found[name]
		assert.Equal(t, callersTrace, s.SpanContext.TraceID().String(), name)
		assert.Equal(t, parent, s.Parent.SpanID().String(), name)
		parent = s.SpanContext.SpanID().String()
	}
	for _, name := range []string{"process contact-created", "process notification"} {
		require.Len(t, found[name].Links, 1, name)
		assert.Equal(t, found[name].Parent.SpanID(), found[name].Links[0].SpanContext.SpanID())
	}
	for _, topic := range []string{"contact-created", "notification"} {
		headers := Records(t, w.brokers, topic)[0].Headers
		require.Len(t, headers, 1, "no tracestate and no baggage")
		assert.Equal(t, "traceparent", headers[0].Key)
		assert.Equal(t, "00-"+callersTrace+"-"+found["send "+topic].SpanContext.SpanID().String()+"-01", string(headers[0].Value))
	}
}

func TestAnInvalidTraceparentIsIgnored(t *testing.T) {
	t.Parallel()
	w := watch(t)
	for _, headers := range [][]string{
		{"traceparent: 00-" + callersTrace + "-0000000000000000-01"}, {"traceparent: x"},
	} {
		w.spans.Reset()
		a := Call(t, "GET", w.url+"/machines", "", headers...)
		assert.Equal(t, http.StatusOK, a.Status, a.Body)
		Until(t, func() error {
			if len(w.spans.GetSpans()) == 0 {
				return io.ErrNoProgress
			}
			return nil
		})
		s := w.spans.GetSpans()[0]
		assert.Equal(t, "GET /machines", s.Name)
		assert.False(t, s.Parent.IsValid(), "%v", headers)
		assert.NotEqual(t, callersTrace, s.SpanContext.TraceID().String())
	}
}

// What machines ask every few seconds has no spans, whatever the answer is.
func TestHealthChecksHaveNoSpans(t *testing.T) {
	t.Parallel()
	fails := web.Check{Name: "store", Probe: func(context.Context) error { return io.ErrNoProgress }}
	w := watch(t, web.Health(fails)...)
	for path, status := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 404, "/machines": 200} {
		assert.Equal(t, status, Call(t, "GET", w.url+path, "", traceparent).Status, path)
	}
	Until(t, func() error {
		return errorUnless(len(w.spans.GetSpans()) > 0, "no span")
	})
	for _, s := range w.spans.GetSpans() {
		assert.Equal(t, "GET /machines", s.Name)
	}
}

// An exporter as people set it: the program by itself, and something that listens for OTLP over HTTP.
func TestTracesAreExportedOverOTLP(t *testing.T) {
	t.Parallel()
	receiver := collect(t)
	s := launch(t, t.TempDir(), "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+receiver.url, "OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_SERVICE_NAME=shop")
	s.Ready()
	a := Call(t, "POST", s.URL+"/contacts", AContact, "Content-Type: application/json", traceparent)
	require.Equal(t, http.StatusAccepted, a.Status, a.Body)
	Until(t, func() error {
		if at := receiver.chain(); at < len(chain) {
			return fmt.Errorf("the chain ends before %s", chain[at])
		}
		return nil
	})
	assert.Contains(t, receiver.services(), "shop")
}

// Without an exporter the program makes no spans, and what others began goes on through it.
func TestATraceGoesOnWithoutAnExporter(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	a := Call(t, "POST", s.URL+"/contacts", AContact, "Content-Type: application/json", traceparent)
	require.Equal(t, http.StatusAccepted, a.Status, a.Body)
	Handled(t, s.Kafka, Groups["contact-created"], "contact-created")
	for _, topic := range []string{"contact-created", "notification"} {
		headers := Records(t, s.Kafka, topic)[0].Headers
		require.Len(t, headers, 1)
		assert.Equal(t, traceparent, headers[0].Key+": "+string(headers[0].Value))
	}
	s.Post("/machines", endpoints[1].body)
	assert.Empty(t, Records(t, s.Kafka, "machine-created")[0].Headers)
}

func TestServeRefusesAnUnknownExporter(t *testing.T) {
	t.Parallel()
	c := command(t, "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0")
	c.Env = append(c.Env, "OTEL_TRACES_EXPORTER=key-canary")
	got := Finish(t, c, "")
	assert.Equal(t, 2, got.Status)
	assert.Contains(t, got.Stderr, "OTEL_TRACES_EXPORTER")
	assert.NotContains(t, got.Stderr, "canary")
}

// receiver takes OTLP over HTTP.
type receiver struct {
	url  string
	mu   sync.Mutex
	got  []*spans.ResourceSpans
	text []byte
}

func collect(t testing.TB) *receiver {
	r := &receiver{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, from *http.Request) {
		body, err := io.ReadAll(from.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || from.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, request.ResourceSpans...)
		r.text = append(r.text, body...)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *receiver) all() (all []*spans.Span) {
	for _, resource := range r.got {
		for _, scope := range resource.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

// chain is how many spans of the chain have arrived, each under the one before.
func (r *receiver) chain() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	parent := callersSpan
	for i, name := range chain {
		next := ""
		for _, s := range r.all() {
			if s.Name == name && fmt.Sprintf("%x", s.ParentSpanId) == parent && fmt.Sprintf("%x", s.TraceId) == callersTrace {
				next = fmt.Sprintf("%x", s.SpanId)
			}
		}
		if next == "" {
			return i
		}
		parent = next
	}
	return len(chain)
}

func (r *receiver) services() (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range r.got {
		for _, a := range resource.Resource.Attributes {
			if a.Key == "service.name" {
				names = append(names, a.Value.GetStringValue())
			}
		}
	}
	return names
}
