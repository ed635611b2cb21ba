package program

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What must be in no output: every value that people say begins with canary, in some case of letters.
const (
	canaryContact = `{"name":"Canary One","email":"canary2@example.com","phone":"+44 20 7946 0958","message":"canary-three says hello"}`
	canaryMachine = `{"name":"Canary Hall","address":"Canary Wharf 4","city":"Canaryville","country":"Canaria","contactName":"Canary Five","contactEmail":"canary6@example.com","contactPhone":"+49 30 1234567"}`
	canaryNotice  = `{"type":"contact","message":"canary-seven was here","subjectId":"c-1","recipientEmail":"canary8@example.com"}`
	canaryToken   = "Bearer canary-token.canary-signature"
)

var canary = regexp.MustCompile(`(?i)canar|20 7946|30 1234567`)

func noCanary(t *testing.T, where, text string) {
	t.Helper()
	for _, line := range Lines(text) {
		assert.NotRegexp(t, canary, line, where)
	}
}

func (w *watching) logs(texts ...string) {
	w.t.Helper()
	Until(w.t, func() error {
		for _, text := range texts {
			if !strings.Contains(w.log.String(), text) {
				return fmt.Errorf("%q is not in the log", text)
			}
		}
		return nil
	})
}

// Everything that can panic panics with all that it knows: of a panic's value only the type is logged.
func TestNothingThatPeopleSaidIsSeen(t *testing.T) {
	t.Parallel()
	w := watch(t,
		web.Function{Name: "panics", Route: "POST /panics", Handler: web.HandleCommand(
			func(_ context.Context, c web.Command[events.Contact]) (web.Accepted, error) {
				panic(fmt.Sprintf("%+v", c.Body))
			})},
		web.Function{Name: "leaks", Route: "GET /leaks/{id}", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			panic(r.URL.String() + r.Header.Get("Authorization") + r.PathValue("id") + r.URL.Query().Get("q"))
		})},
	)
	secrets := []string{"Content-Type: application/json", "Authorization: " + canaryToken, "Idempotency-Key: canary-key", "Cookie: session=canary"}

	t.Run("requests", func(t *testing.T) {
		for path, want := range map[string]int{"/contacts": 202, "/panics": 500} {
			a := Call(t, "POST", w.url+path, canaryContact, secrets...)
			assert.Equal(t, want, a.Status, "%s %s", path, a.Body)
		}
		for _, body := range []string{`{"canary":`, with(t, canaryContact, map[string]any{"email": "canary"}), with(t, canaryContact, map[string]any{"canary": 1})} {
			assert.Contains(t, []int{400, 422}, Call(t, "POST", w.url+"/contacts", body, secrets...).Status)
		}
		Call(t, "GET", w.url+"/leaks/canary-id?q=canary%20query", "", secrets...)
		Call(t, "GET", w.url+"/contacts?canary=1", "", secrets...)
		w.logs(`"route":"POST /panics","status":500`, `"route":"GET /leaks/{id}"`, "panic: a value of type string")
	})
	t.Run("consumers", func(t *testing.T) {
		w.fails(nil, func(_ string, event any) error { panic(fmt.Sprintf("%+v", event)) })
		id := Decoded[Accepted](t, Call(t, "POST", w.url+"/machines", canaryMachine, "Content-Type: application/json").Body).EventID
		Until(t, func() error {
			for _, line := range Lines(w.log.String()) {
				if strings.Contains(line, `"event_id":"`+id) && strings.Contains(line, `"outcome":"rejected"`) {
					assert.Contains(t, line, `"class":"panic"`)
					return nil
				}
			}
			return errors.New("the event is not rejected yet")
		})
	})
	t.Run("notifier", func(t *testing.T) {
		w.fails(func(m notify.Message) error { panic(fmt.Errorf("550 <%s>: %q", m.Recipient, m.Text)) }, nil)
		a := Call(t, "POST", w.url+"/notifications", canaryNotice, "Content-Type: application/json")
		require.Equal(t, http.StatusAccepted, a.Status, a.Body)
		w.logs("panic: a value of type *errors.errorString")
	})
	t.Run("records of others", func(t *testing.T) {
		c := client(t, w.brokers)
		for _, value := range []string{
			`canary, and no JSON`, `{"eventId":"e-1","eventType":"contact-created","data":{"name":"canary"}}`,
			`{"eventId":"e-2","eventType":"contact-created","data":{"id":"i","timestamp":"canary"}}`,
			`{"eventId":"e-3","eventType":"contact-created","data":{"id":"one","name":"canary one"}}`,
			`{"eventId":"e-4","eventType":"contact-created","data":{"id":"one","name":"canary two"}}`,
		} {
			require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Partition: 0, Value: []byte(value)}).FirstErr())
		}
		Until(t, func() error {
			if n := len(Records(t, w.brokers, "contact-created.dead-letters")); n < 4 {
				return fmt.Errorf("%d dead letters", n)
			}
			return nil
		})
	})
	noCanary(t, "log", w.log.String())
	noCanary(t, "spans", w.exported())
	noCanary(t, "metrics", w.scrape())
	for _, name := range []string{"POST /panics", "process machine-created panic", "notify panic"} {
		assert.Contains(t, w.exported(), name)
	}
}

// The same of the program as it is run, all that it writes and sends.
func TestServeSaysNothingThatPeopleSaid(t *testing.T) {
	t.Parallel()
	receiver := collect(t)
	s := launch(t, t.TempDir(), "LOG_LEVEL=debug", "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+receiver.url, "OTEL_EXPORTER_OTLP_HEADERS=authorization="+"canary-key", "OTEL_BSP_SCHEDULE_DELAY=50")
	s.Ready()
	for path, body := range map[string]string{"/contacts": canaryContact, "/machines": canaryMachine, "/notifications": canaryNotice} {
		a := Call(t, "POST", s.URL+path, body, "Content-Type: application/json", "Authorization: "+canaryToken)
		require.Equal(t, http.StatusAccepted, a.Status, a.Body)
		Call(t, "GET", s.URL+path+"/canary?canary=canary", "", "Authorization: "+canaryToken)
	}
	c := client(t, s.Kafka)
	require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Value: []byte(`canary`)}).FirstErr())
	for topic, group := range Groups {
		Handled(t, s.Kafka, group, topic)
	}
	scraped := Call(t, "GET", s.URL+"/metrics", "")
	noCanary(t, "metrics", scraped.Body)
	assert.Contains(t, scraped.Body, `sipeat_dead_letters_total{class="undecodable",consumer="sipeat-contact-consumer",topic="contact-created"} 1`)
	s.Signal(syscall.SIGTERM)
	assert.Equal(t, 0, s.Wait())
	noCanary(t, "standard error", s.Stderr.String())
	noCanary(t, "spans", string(receiver.text))
	assert.NotEmpty(t, receiver.text)
	said, _, _ := strings.Cut(s.Stdout.String(), "Try:") // the example to copy is not what anybody said
	noCanary(t, "standard output", said)
	assert.Contains(t, s.Stderr.String(), `"class":"undecodable"`)
}
