package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/web"
)

type greeting struct {
	Name string `json:"name"`
}

func Example() {
	create := web.HandleCommand(func(_ context.Context, c web.Command[greeting]) (web.Accepted, error) {
		if c.Body.Name == "" {
			return web.Accepted{}, &events.Error{Kind: events.Invalid, Fields: []events.FieldError{{Pointer: "/name", Detail: "must not be empty"}}}
		}
		return web.Accepted{ID: "7", EventID: "e7", Topic: "greeting-created"}, nil
	})
	router := web.Router([]web.Function{{Name: "create-greeting", Route: "POST /greetings", Handler: create}}, web.Log(slog.New(slog.DiscardHandler)))

	for _, body := range []string{`{"name":"Zoë"}`, `{"name":""}`, `{"nom":"Zoë","name":7}`} {
		r := httptest.NewRequest(http.MethodPost, "/greetings", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Location"), w.Body)
	}
	// Output:
	// 202 /greetings/7 {"id":"7","eventId":"e7","topic":"greeting-created","partition":0,"offset":0}
	// 422  {"type":"/problems/invalid-fields","title":"Some fields are not acceptable","status":422,"detail":"See errors for each field.","instance":"/greetings","errors":[{"pointer":"/name","detail":"must not be empty"}]}
	// 400  {"type":"/problems/unreadable-fields","title":"A field cannot be read","status":400,"detail":"A field cannot be read at column 2 (byte 1); see errors.","instance":"/greetings","errors":[{"pointer":"/nom","detail":"is unknown; known are name"}]}
}
