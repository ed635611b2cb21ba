package program

import (
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Every personal value begins with canary and must be in no output.
const (
	canaryContact = `{"name":"Canary One","email":"canary2@example.com","phone":"+44 20 7946 0958",` +
		`"message":"canary-three says hello"}`
	canaryMachine = `{"name":"Canary Hall","address":"Canary Wharf 4","city":"Canaryville","country":"Canaria",` +
		`"contactName":"Canary Five",` +
		`"contactEmail":"canary6@example.com","contactPhone":"+49 30 1234567"}`
	canaryNotice = `{"type":"contact","message":"canary-seven was here","subjectId":"c-1","recipientEmail":"canary8@example.com"}`
	canaryToken  = "Authorization: Bearer canary-token.canary-signature"
)

var canary = regexp.MustCompile(`(?i)canar|20 7946|30 1234567`)

func noCanary(t *testing.T, where, text string) {
	t.Helper()
	for _, line := range Lines(text) {
		assert.NotRegexp(t, canary, line, where)
	}
}

// Logs, spans and metrics contain neither personal data nor secrets.
func TestOutputContainsNoPersonalData(t *testing.T) {
	t.Parallel()
	receiver := collect(t)
	s := serve(t, t.TempDir(), append(receiver.environment(), "LOG_LEVEL=debug",
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=canary-key")...)
	for path, body := range map[string]string{"/contacts": canaryContact, "/machines": canaryMachine,
		"/notifications": canaryNotice} {
		a := Call(t, "POST", s.URL+path, body, canaryToken, "Idempotency-Key: canary-key", "Cookie: session=canary")
		require.Equal(t, http.StatusAccepted, a.Status, a.Body)
		Call(t, "GET", s.URL+path+"/canary?canary=canary", "", canaryToken)
	}
	for _, body := range []string{`{"canary":`, with(t, canaryContact, map[string]any{"email": "canary"}),
		with(t, canaryContact, map[string]any{"canary": 1})} {
		assert.Contains(t, []int{400, 422}, Call(t, "POST", s.URL+"/contacts", body, canaryToken).Status)
	}
	c := client(t, s.Kafka)
	for _, value := range []string{
		`canary, and no JSON`, `{"eventId":"e-1","eventType":"contact-created","data":{"name":"canary"}}`,
		`{"eventId":"e-2","eventType":"contact-created","data":{"id":"i","timestamp":"canary"}}`,
		`{"eventId":"e-3","eventType":"contact-created","data":{"id":"one","name":"canary one"}}`,
		`{"eventId":"e-4","eventType":"contact-created","data":{"id":"one","name":"canary two"}}`, // a conflict
	} {
		require.NoError(t, c.ProduceSync(Within(t), &kgo.Record{Topic: "contact-created", Key: []byte("k"),
			Value: []byte(value)}).FirstErr())
	}
	Handled(t, s.Kafka, everyTopic...)
	assert.Len(t, Records(t, s.Kafka, "contact-created.dead-letters"), 4)
	noCanary(t, "metrics", Call(t, "GET", s.URL+"/metrics", "").Body)
	s.Stop(syscall.SIGTERM)
	assert.Contains(t, s.Stderr.String(), `"class":"undecodable"`)
	noCanary(t, "standard error", s.Stderr.String())
	assert.NotEmpty(t, receiver.text)
	noCanary(t, "spans", string(receiver.text))
	printed, _, _ := strings.Cut(s.Stdout.String(), "Try:") // without the example to copy
	noCanary(t, "standard output", printed)
}
