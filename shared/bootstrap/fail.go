package bootstrap

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// failure is the body of the Runtime API's init error.
type failure struct {
	Message string   `json:"errorMessage"`
	Type    string   `json:"errorType"`
	Trace   []string `json:"stackTrace"`
}

// fail reports why there is no function, in one line of the log and to the Runtime API, which answers the invoker with it
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-initerror). aws-lambda-go has no call for it.
func fail(getenv func(string) string, to io.Writer, err error) {
	why := failure{Message: strings.ReplaceAll(err.Error(), "\n", "; "), Type: "Init.Settings", Trace: []string{}}
	fmt.Fprintf(to, "the function cannot start: %s\n", why.Message)
	api := getenv("AWS_LAMBDA_RUNTIME_API")
	if api == "" {
		return
	}
	body, err := json.Marshal(why)
	if err != nil {
		return
	}
	client := http.Client{Timeout: time.Second}
	request, err := http.NewRequest(http.MethodPost, "http://"+api+"/2018-06-01/runtime/init/error", bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header.Set("Lambda-Runtime-Function-Error-Type", why.Type)
	if answer, err := client.Do(request); err == nil { // logged above
		_ = answer.Body.Close()
	}
}
