package dynamodb

import (
	"context"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sipeat/sipeat/shared/events"
)

// FromEnvironment makes the config from what Lambda sets in a function's environment and DynamoDB Local needs: AWS_REGION,
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, and DYNAMODB_ENDPOINT for a server that is not AWS's, with
// which the others may be absent. It replaces the AWS config package, which is over half of a cold start; servers, which
// have profiles and roles to look up, give [Open] a config of that package.
func FromEnvironment(getenv func(string) string) (aws.Config, error) {
	cfg := aws.Config{Region: getenv("AWS_REGION")}
	key := aws.Credentials{
		AccessKeyID: getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
		SessionToken: getenv("AWS_SESSION_TOKEN"), Source: "environment",
	}
	if endpoint := getenv("DYNAMODB_ENDPOINT"); endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
			return aws.Config{}, events.Errorf(events.Unavailable, "DYNAMODB_ENDPOINT must be an address such as http://127.0.0.1:8000")
		}
		cfg.BaseEndpoint = &endpoint
		if cfg.Region == "" {
			cfg.Region = "us-east-1"
		}
		if key.AccessKeyID == "" && key.SecretAccessKey == "" {
			key.AccessKeyID, key.SecretAccessKey = "local", "local" // DynamoDB Local requires some
		}
	}
	var missing []string
	for _, need := range []struct{ name, value, example string }{
		{"AWS_REGION", cfg.Region, "eu-central-1"}, {"AWS_ACCESS_KEY_ID", key.AccessKeyID, "AKIA…"},
		{"AWS_SECRET_ACCESS_KEY", key.SecretAccessKey, "…"},
	} {
		if need.value == "" {
			missing = append(missing, need.name+"="+need.example)
		}
	}
	if missing != nil {
		return aws.Config{}, events.Errorf(events.Unavailable,
			"DynamoDB needs %s in the environment, or DYNAMODB_ENDPOINT=http://127.0.0.1:8000 for a local one",
			strings.Join(missing, ", "))
	}
	cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return key, nil })
	return cfg, nil
}
