package program

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	traceparent  = "traceparent: 00-" + callersTrace + "-" + callersSpan + "-01"
)

// chain lists the spans of one POST: each is the parent of the next.
var chain = []string{"POST /contacts", "send contact-created", "process contact-created", "send notification",
	"process notification", "notify"}

func TestOneTraceFromTheRequestToTheNotification(t *testing.T) {
	t.Parallel()
	receiver := collect(t)
	s := serve(t, t.TempDir(), append(receiver.environment(), "OTEL_SERVICE_NAME=shop")...)
	Call(t, "GET", s.URL+"/healthz", "", traceparent)
	Call(t, "GET", s.URL+"/machines", "", "traceparent: x")
	a := Call(t, "POST", s.URL+"/contacts", AContact, traceparent, "tracestate: other=1", "baggage: who=somebody")
	require.Equal(t, http.StatusAccepted, a.Status, a.Body)
	var ids []string // of the chain's spans
	Until(t, func() error {
		if ids = receiver.chain(); len(ids) < len(chain) {
			return fmt.Errorf("the chain ends before %s", chain[len(ids)])
		}
		return nil
	})
	for topic, id := range map[string]string{"contact-created": ids[1], "notification": ids[3]} {
		headers := Records(t, s.Kafka, topic)[0].Headers
		require.Len(t, headers, 1, "neither tracestate nor baggage")
		assert.Equal(t, "traceparent=00-"+callersTrace+"-"+id+"-01", headers[0].Key+"="+string(headers[0].Value))
	}
	names := receiver.names()
	assert.Contains(t, names, "GET /machines", "an invalid traceparent begins a trace")
	assert.NotContains(t, names, "GET /healthz", "health checks make no spans")
	assert.Contains(t, receiver.services(), "shop")
}

func TestTraceparentIsForwardedWithoutAnExporter(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	a := Call(t, "POST", s.URL+"/contacts", AContact, traceparent)
	require.Equal(t, http.StatusAccepted, a.Status, a.Body)
	Handled(t, s.Kafka, "contact-created")
	for _, topic := range []string{"contact-created", "notification"} {
		headers := Records(t, s.Kafka, topic)[0].Headers
		require.Len(t, headers, 1)
		assert.Equal(t, traceparent, headers[0].Key+": "+string(headers[0].Value))
	}
}

// receiver accepts OTLP over HTTP.
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

func (r *receiver) environment() []string {
	return []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT=" + r.url,
		"OTEL_BSP_SCHEDULE_DELAY=50"}
}

func (r *receiver) spans() (all []*spans.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range r.got {
		for _, scope := range resource.ScopeSpans {
			all = append(all, scope.Spans...)
		}
	}
	return all
}

func (r *receiver) names() (all []string) {
	for _, s := range r.spans() {
		all = append(all, s.Name)
	}
	return all
}

// chain returns the ids of the chain's spans as far as they have arrived, each under the one before.
func (r *receiver) chain() (ids []string) {
	all, parent := r.spans(), callersSpan
	for _, name := range chain {
		i := slices.IndexFunc(all, func(s *spans.Span) bool {
			return s.Name == name && fmt.Sprintf("%x", s.ParentSpanId) == parent && fmt.Sprintf("%x", s.TraceId) == callersTrace
		})
		if i < 0 {
			return ids
		}
		parent = fmt.Sprintf("%x", all[i].SpanId)
		ids = append(ids, parent)
	}
	return ids
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
