package commands_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/stretchr/testify/assert"
)

func TestCreateContact(t *testing.T) {
	create := func(c commands.Commands) func(context.Context, web.Command[events.Contact]) (web.Accepted, error) {
		return c.CreateContact
	}
	holds(t, create, events.Contact{
		Name: "Ada Lovelace", Email: "ada@example.com", Phone: "+44 20 7946 0958", Message: "A machine, please.",
	}, func(e events.ContactCreated) any { return e.Contact })
	assert.Equal(t, []string{"/name", "/email", "/phone", "/message"}, faults(t, create(commands.Commands{}), events.Contact{}))
}

// A retry of a request that an earlier release accepted is the same event: the ids never change.
func TestIdempotencyKey(t *testing.T) {
	router := web.Router(commands.Commands{Publisher: &recorder{}}.Functions(), web.Options{Logger: slog.New(slog.DiscardHandler)})
	r := httptest.NewRequest(http.MethodPost, "/contacts", strings.NewReader(`{"name":"Ada Lovelace","email":"ada@example.com",
		"phone":"+44 20 7946 0958","message":"A machine, please."}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "k")
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r.WithContext(web.WithCaller(r.Context(), "me")))
	assert.JSONEq(t, `{"id":"f88d8940-6021-51ae-83eb-42376348cc70","eventId":"84f560fe-b24a-534e-91f3-d92e5c0613d9",
		"topic":"contact-created","partition":3,"offset":41}`, w.Body.String())
}
