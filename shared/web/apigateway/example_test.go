package apigateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

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
		web.Options{Guard: apigateway.Guard(false, "staff"), Logger: slog.New(slog.DiscardHandler)})
	function := apigateway.New(router, "") // for lambda.Start

	payload := `{"version":"2.0","routeKey":"GET /greetings/{name}","rawPath":"/greetings/Zoë/A","rawQueryString":"x=1",
		"pathParameters":{"name":"Zoë/A"},"requestContext":{"http":{"method":"GET"},"authorizer":{"jwt":{"claims":{"sub":"ada",
		"scope":"staff"}}}}}`
	for _, payload := range []string{strings.Replace(payload, "x=1", "", 1), payload} {
		answer, err := function.Invoke(context.Background(), []byte(payload))
		if err != nil {
			panic(err)
		}
		var said events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(answer, &said); err != nil {
			panic(err)
		}
		fmt.Printf("%d %.38s\n", said.StatusCode, said.Body)
	}
	// Output:
	// 200 "Hello, Zoë/A"
	// 400 {"type":"/problems/invalid-parameters"
}
