package web_test

import (
	"context"
	"encoding/json"
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
			return web.Accepted{}, &events.Error{Kind: events.Invalid, Fields: []events.FieldError{{Pointer: "/name",
				Detail: "must not be empty"}}}
		}
		return web.Accepted{ID: "7", EventID: "e7", Topic: "greeting-created"}, nil
	})
	router := web.Router([]web.Function{{Name: "create-greeting", Route: "POST /greetings", Handler: create}},
		web.Options{Logger: slog.New(slog.DiscardHandler)})

	for _, body := range []string{`{"name":"Zoë"}`, `{"name":""}`, `{"nom":"Zoë","name":7}`} {
		r := httptest.NewRequest(http.MethodPost, "/greetings", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		var p web.Problem // of the two that fail
		_ = json.Unmarshal(w.Body.Bytes(), &p)
		fmt.Println(w.Code, w.Header().Get("Location"), p.Type, p.Errors)
	}
	// Output:
	// 202 /greetings/7  []
	// 422  /problems/invalid-fields [{/name must not be empty}]
	// 400  /problems/unreadable-fields [{/nom is unknown; known are name}]
}
