package apigateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"

	"github.com/aws/aws-lambda-go/events"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/apigateway"
)

type byName struct {
	Name string `path:"name"`
}

func Example() {
	greet := web.HandleQuery(func(_ context.Context, q byName) (string, error) { return "Hello, " + q.Name, nil })
	router := web.Router([]web.Function{{Name: "greet", Route: "GET /greetings/{name}", Handler: greet, Staff: true}},
		web.Guard(apigateway.Guard(false, "staff")), web.Log(slog.New(slog.DiscardHandler)))
	function := apigateway.New(router) // for lambda.Start

	api := apigateway.API{Route: "GET /greetings/{name}", Stage: "prod", Claims: map[string]string{"sub": "ada", "scope": "staff"}}
	for _, path := range []string{"/greetings/Zo%C3%AB%2FA", "/greetings/Zo%C3%AB?x=1"} {
		payload, err := api.Event(httptest.NewRequest(http.MethodGet, path, nil))
		if err != nil {
			panic(err)
		}
		answer, err := function.Invoke(context.Background(), payload)
		if err != nil {
			panic(err)
		}
		var said events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(answer, &said); err != nil {
			panic(err)
		}
		fmt.Println(said.StatusCode, said.Body)
	}
	// Output:
	// 200 "Hello, Zoë/A"
	// 400 {"type":"/problems/invalid-parameters","title":"Some parameters are not acceptable","status":400,"detail":"See errors for each parameter.","instance":"/prod/greetings/Zo%C3%AB","errors":[{"pointer":"/x","detail":"is unknown; this request has no parameters"}]}
}
