package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
)

// awsAccess finds credentials and region as AWS's own tools do: environment, profiles, SSO, web identity, containers, EC2. It
// looks them up once, when they are first needed. The Lambda binaries do without it for the sake of their cold starts.
type awsAccess struct {
	timeout time.Duration // of each lookup: the last is EC2's metadata service, whose address may drop packets elsewhere
	once    sync.Once
	config  aws.Config
	err     error
}

// load returns a config with credentials. The error lists the places that were searched, and a remedy.
func (a *awsAccess) load(ctx context.Context) (aws.Config, error) {
	a.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		if a.config, a.err = config.LoadDefaultConfig(ctx); a.err != nil {
			a.err = usageError{fmt.Errorf("AWS settings: %w; check AWS_PROFILE (`aws configure list-profiles` lists them) "+
				"and the other AWS_… settings", a.err)}
		} else {
			_, a.err = a.retrieve(ctx)
		}
	})
	return a.config, a.err
}

// regional is load for services that require a region.
func (a *awsAccess) regional(ctx context.Context) (aws.Config, error) {
	cfg, err := a.load(ctx)
	if err == nil && cfg.Region == "" {
		err = usageError{errors.New("no AWS region is set: set AWS_REGION, for example to eu-central-1, or a profile that has one")}
	}
	return cfg, err
}

// login returns the current credentials, for MSK: they change while a process runs.
func (a *awsAccess) login(ctx context.Context) (settings.AWSCredentials, error) {
	if _, err := a.load(ctx); err != nil {
		return settings.AWSCredentials{}, err
	}
	c, err := a.retrieve(ctx)
	return settings.AWSCredentials{AccessKey: c.AccessKeyID, SecretKey: c.SecretAccessKey, SessionToken: c.SessionToken}, err
}

func (a *awsAccess) retrieve(ctx context.Context) (aws.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	c, err := a.config.Credentials.Retrieve(ctx)
	if err != nil {
		err = events.Wrap(events.Unavailable, err, "no AWS credentials: searched the environment (AWS_ACCESS_KEY_ID, …), "+
			"AWS's files, web identity, containers and EC2; set AWS_PROFILE, or renew an SSO session (`aws sso login`)")
	}
	return c, err
}
