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
	receiver.mu.Lock()
	text := string(receiver.text)
	receiver.mu.Unlock()
	assert.Contains(t, text, "GET /machines", "an invalid traceparent begins a trace")
	assert.NotContains(t, text, "GET /healthz", "health checks make no spans")
	assert.Contains(t, text, "shop")

	plain := serve(t, t.TempDir()) // without an exporter the traceparent is forwarded
	a = Call(t, "POST", plain.URL+"/contacts", AContact, traceparent)
	require.Equal(t, http.StatusAccepted, a.Status, a.Body)
	Handled(t, plain.Kafka, "contact-created")
	for _, topic := range []string{"contact-created", "notification"} {
		headers := Records(t, plain.Kafka, topic)[0].Headers
		require.Len(t, headers, 1)
		assert.Equal(t, traceparent, headers[0].Key+": "+string(headers[0].Value))
	}
}

// receiver accepts OTLP over HTTP.
type receiver struct {
	url  string
	mu   sync.Mutex
	got  []*spans.Span
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
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.got = append(r.got, scope.Spans...)
			}
		}
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

// chain returns the ids of the chain's spans as far as they have arrived, each under the one before.
func (r *receiver) chain() (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	parent := callersSpan
	for _, name := range chain {
		i := slices.IndexFunc(r.got, func(s *spans.Span) bool {
			return s.Name == name && fmt.Sprintf("%x", s.ParentSpanId) == parent && fmt.Sprintf("%x", s.TraceId) == callersTrace
		})
		if i < 0 {
			return ids
		}
		parent = fmt.Sprintf("%x", r.got[i].SpanId)
		ids = append(ids, parent)
	}
	return ids
}
