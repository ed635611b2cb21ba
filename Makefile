# The targets for developers and CI. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help test race lint vuln retracted bench bench-compare integration kafkajs containers faults faults-serve faults-serve-mutants faults-long faults-check faults-mutants docker up settings down logs topics worker-dev worker-build worker-start

# go.mod names the Go release to build and check with, so that binaries contain its fixes of the standard library. This overrides
# GOTOOLCHAIN=local in the environment; `make GOTOOLCHAIN=local build` builds with the installed release.
export GOTOOLCHAIN := $(shell sed -n 's/^toolchain //p' go.mod)

# Tools are built once per version of the tool and of Go, outside the checkout.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sipeat-tools/$(GOTOOLCHAIN)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-v2.15.0
GOVULNCHECK := $(TOOLS)/govulncheck-v1.9.0
DEADCODE := $(TOOLS)/deadcode-v0.52.0
AIR := $(TOOLS)/air-v1.67.4
BENCHSTAT := $(TOOLS)/benchstat-v0.0.0-20260908200009-22c9c6c9d4da
KAFKAJS := shared/proof/program/kafkajs
TYPESCRIPT := shared/proof/program/typescript

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## all tests that need nothing installed
	go test ./...

race: ## the same under the race detector
	go test -race ./...

lint: $(GOLANGCI_LINT) $(DEADCODE) ## format, vet, lint, dead code, go.mod
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go mod tidy -diff
	go mod verify
	$(GOLANGCI_LINT) run --allow-serial-runners
	@dead=$$($(DEADCODE) -test ./...) && test -z "$$dead" || { echo 'unused functions:'; echo "$$dead"; exit 1; }

# govulncheck exits with 3 when it finds something, and with 1 if it cannot reach vuln.go.dev. The same database is also a Go module, which the
# module proxy serves.
vuln: $(GOVULNCHECK) ## known vulnerabilities in linked code
	@status=0; $(GOVULNCHECK) ./... || status=$$?; \
	if [ $$status -ne 1 ]; then exit $$status; fi; \
	echo 'Using the database from the module golang.org/x/vulndb.'; \
	dir=$$(go mod download -json golang.org/x/vulndb@latest | sed -n 's/^.*"Dir": "\(.*\)".*$$/\1/p') && test -n "$$dir" || exit 1; \
	database=$(TOOLS)/vulndb-$${dir##*@}; \
	if [ ! -d "$$database" ]; then \
		(cd "$$dir" && GOFLAGS= go build -o $(TOOLS)/indexdb ./cmd/indexdb) && rm -rf "$$database.new" && \
		$(TOOLS)/indexdb -vulns "$$dir/data/osv" -out "$$database.new" && mv "$$database.new" "$$database" || exit 1; \
	fi; \
	$(GOVULNCHECK) -db "file://$$database" ./...

retracted: ## modules in use that their authors have retracted or deprecated (asks the module proxy)
	@used=$$(go list -deps -test -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./... | sort -u) && test -n "$$used" || exit 1; \
	found=$$(go list -m -u -retracted -f '{{if or .Retracted .Deprecated}}{{.Path}} {{.Version}}: {{.Retracted}} {{.Deprecated}}{{end}}' $$used) || exit 1; \
	test -z "$$found" || { echo 'retracted or deprecated:'; echo "$$found"; exit 1; }

# The results, in the format of benchstat.
BENCH := bench/latest.txt
ROUNDS := 5

bench: SHELL := bash
bench: ## all benchmarks, each with its baseline in the same run, into BENCH=FILE; ROUNDS=N
	@mkdir -p '$(dir $(BENCH))'
	@set -o pipefail; go test -run '^$$' -bench . -benchmem -count $(ROUNDS) -timeout 0 ./shared/... | tee '$(BENCH)'

bench-compare: $(BENCHSTAT) ## compare the results in BENCH=FILE with those of an earlier run: OLD=FILE
	@test -f '$(OLD)' || { echo 'OLD names the file of an earlier run: `make bench-compare OLD=bench/before.txt`.' >&2; exit 2; }
	$(BENCHSTAT) '$(OLD)' '$(BENCH)'

# The packages with suites for real servers; a test compares this list with the tests.
INTEGRATION := ./shared/bus/... ./shared/store/... ./shared/proof/program ./shared/proof/lambda

BROWSER := $(shell command -v chromium || command -v google-chrome || echo chromium)

# Tests of consumer groups that hold for each of Kafka's group protocols.
GROUPS := Test(WorkersJoinAndLeave|StuckKey.*|PartitionsAddedLater.*|ConsumerSurvives.*|SlowHandlers.*|Shutdown.*|GroupResumes.*|ResumesAt.*|PausedPartition.*|RevokedWhile.*|CommitsNever.*)

integration: SHELL := bash
integration: kafkajs ## the suites for real servers: those of `make up`, or at KAFKA_BROKERS and DYNAMODB_ENDPOINT
	@command -v '$(BROWSER)' >/dev/null || { echo 'This needs Chromium for the console: install it, or set BROWSER=PATH.'; exit 2; }
	cd $(TYPESCRIPT) && npm ci
	@set -eo pipefail; $(AT); \
	export KAFKA_BROKERS="$${KAFKA_BROKERS:-$$(at kafka 9092)}" DYNAMODB_ENDPOINT="$${DYNAMODB_ENDPOINT:-$$(at dynamodb 8000 http://)}"; \
	export AWS_REGION="$${AWS_REGION:-us-east-1}" AWS_ACCESS_KEY_ID="$${AWS_ACCESS_KEY_ID:-local}" AWS_SECRET_ACCESS_KEY="$${AWS_SECRET_ACCESS_KEY:-local}"; \
	test -n "$$KAFKA_BROKERS" -a -n "$$DYNAMODB_ENDPOINT" || { echo 'No servers to test against: run `make up` first, or set KAFKA_BROKERS and DYNAMODB_ENDPOINT to servers that the tests may write to.'; exit 2; }; \
	echo "against KAFKA_BROKERS=$$KAFKA_BROKERS DYNAMODB_ENDPOINT=$$DYNAMODB_ENDPOINT"; \
	export KAFKA_CLUSTER_BROKERS="$${KAFKA_CLUSTER_BROKERS:-$$(cluster)}"; \
	elsewhere='^$$'; test -n "$$KAFKA_SASL_BROKERS" || elsewhere="$$elsewhere|^TestLoginAtApacheKafka$$|^TestLoginIsRepeated.*$$"; \
	test -n "$$KAFKA_CLUSTER_BROKERS" || elsewhere="$$elsewhere|Leaders.*Change"; \
	said="$$(mktemp "$${TMPDIR:-/tmp}/sipeat.XXXXXX")"; trap 'rm -f "$$said"' EXIT; \
	KAFKAJS='$(CURDIR)/$(KAFKAJS)' TYPESCRIPT='$(CURDIR)/$(TYPESCRIPT)' BROWSER='$(BROWSER)' go test -count=1 -v -skip "$$elsewhere" $(INTEGRATION) | tee "$$said"; \
	echo 'the same with the brokers as the assignors of partitions (KIP-848)'; \
	KAFKA_GROUP_PROTOCOL=consumer go test -count=1 -v -run '^($(GROUPS))$$/^kafka$$' ./shared/bus/kafka | tee -a "$$said"; \
	if sed -n 's/^ *--- SKIP/skipped/p' "$$said" | grep .; then echo 'A skipped test counts as a failure here.'; exit 1; fi; \
	test -n "$$KAFKA_CLUSTER_BROKERS" || echo 'Not run: leaders that change, which takes several brokers. It needs `make up COMPOSE_PROFILES=cluster`, or KAFKA_CLUSTER_BROKERS.'; \
	test -n "$$KAFKA_SASL_BROKERS" || echo 'Not run: the login over TLS, which the Kafka of `make up` does not offer. It needs KAFKA_SASL_BROKERS, KAFKA_SASL_MECHANISM=SCRAM-SHA-512, KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD and KAFKA_TLS_CA_FILE of a Kafka that does, with connections.max.reauth.ms=10000.'

kafkajs:
	@command -v npm >/dev/null || { echo "This needs Node and npm: it runs the TypeScript app's Kafka client." >&2; exit 2; }
	cd $(KAFKAJS) && npm ci

containers: docker $(AIR) ## test the Docker setup in separate containers: those of `make up` are left alone
	DOCKER=1 go test -count=1 -v -timeout 20m -run '^TestDocker' ./shared/proof/containers

FAULTS := HISTORY='$(abspath $(HISTORY))' go test -count=1 -v ./shared/proof/faults

faults: docker kafkajs ## 4 minutes of load and faults on containers of their own, judged by what clients, topics and sinks saw; SEED=N, FAULT_KINDS=F4,F7, HISTORY=file to keep
	FAULTS=4m $(FAULTS) -timeout 15m -run '^TestFaults$$'

faults-serve: ## 4 minutes of kill -9, power cuts and full disks for `sipeat serve`, on Linux; SEED=N
	FAULTS_SERVE=1m $(FAULTS) -timeout 15m -run '^TestServeFaults$$'

faults-serve-mutants: ## cut the power of programs that do not sync; the judge must notice each; on Linux, MUTANTS='the claims are not synced' for some
	MUTANTS='$(MUTANTS)' $(FAULTS) -timeout 15m -run '^TestServeMutants$$'

faults-long: docker kafkajs ## the same for HOURS=N
	@test -n '$(HOURS)' || { echo 'HOURS=N says how long: `make faults-long HOURS=1`.' >&2; exit 2; }
	FAULTS=$(HOURS)h $(FAULTS) -timeout 0 -run '^TestFaults$$'

faults-check: ## judge the history of an earlier run again: HISTORY=path/of/history.jsonl
	@test -n '$(HISTORY)' || { echo 'HISTORY names the file, which the run printed: `make faults-check HISTORY=…/history.jsonl`.' >&2; exit 2; }
	$(FAULTS) -run '^TestCheckHistory$$'

MUTANTS := all

faults-mutants: docker kafkajs ## run programs with a mistake each, and demand that the judge notices it; MUTANTS='no claim,control' for some
	MUTANTS='$(MUTANTS)' $(FAULTS) -timeout 40m -run '^TestMutants$$'

# at SERVICE PORT PREFIX prints the address of a container's port on this machine, or nothing; cluster prints those of the three
# brokers.
AT = at() { docker compose port "$$1" "$$2" 2>/dev/null | sed -n "s,^127,$$3&,p"; }; \
	cluster() { for broker in broker-1 broker-2 broker-3; do at $$broker 9092; done | paste -s -d , -; }

docker:
	@docker compose version >/dev/null 2>&1 || { echo 'This needs Docker with its compose plugin: https://docs.docker.com/get-started/get-docker. Without it there is `go run . serve`, which needs neither.' >&2; exit 1; }
	@docker info >/dev/null 2>&1 || { echo 'Docker is installed, but its engine does not answer: start it, or get the right to use it. Without it there is `go run . serve`.' >&2; exit 1; }

up: docker ## start Kafka and DynamoDB Local in Docker, and the profiles in COMPOSE_PROFILES=cluster,console,mail
	@docker compose up --detach --wait $(SERVICE) || { echo 'It did not come up. Is a port taken, perhaps by `sipeat serve`? End that, or move this: `make up DOCKER_KAFKA_PORT=9093`; docker-compose.yml has the other names. Else `make logs` says more.' >&2; exit 1; }
	@$(MAKE) --no-print-directory settings

settings: docker ## print the addresses of what `make up` started, as settings for .env
	@$(AT); \
	kafka=$$(at kafka 9092) dynamodb=$$(at dynamodb 8000 http://) console=$$(at console 8080 http://) mail=$$(at mail 8025 http://) smtp=$$(at mail 1025 smtp://); \
	cluster=$$(cluster); \
	line() { test -z "$$2" || printf '%-14s %-28s %s\n' "$$1" "$$2" "$$3"; }; \
	line WHAT 'ON THIS MACHINE' "FOR CONTAINERS ON THE NETWORK $${COMPOSE_PROJECT_NAME:-sipeat}"; \
	line Kafka "$$kafka" kafka:19092; \
	line 'three brokers' "$$cluster" broker-1:19092,broker-2:19092,broker-3:19092; \
	line DynamoDB "$$dynamodb" http://dynamodb:8000; \
	line SMTP "$$smtp" smtp://mail:1025; \
	line 'caught mail' "$$mail"; \
	line console "$$console"; \
	printf '\nSettings, for .env:\n\n'; \
	test -z "$$kafka" || echo "KAFKA_BROKERS=$$kafka"; \
	test -z "$$cluster" || echo "$${kafka:+# }KAFKA_BROKERS=$$cluster"; \
	test -z "$$dynamodb" || printf '%s\n' STORE=dynamodb "DYNAMODB_ENDPOINT=$$dynamodb" AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local; \
	test -z "$$smtp" || echo "SMTP_URL=$$smtp"

down: docker ## stop what `make up` started; VOLUMES=1 also deletes its data
	docker compose --profile '*' down $(if $(VOLUMES),--volumes)
	@echo '$(if $(VOLUMES),What Kafka and DynamoDB Local held is gone.,What Kafka and DynamoDB Local hold stays for the next `make up`; `make down VOLUMES=1` drops it.)'

logs: docker ## follow the logs of the containers; SERVICE=kafka for one
	docker compose --profile '*' logs --follow --tail 100 $(SERVICE)

topics: docker ## create missing topics, and list all with Kafka's own tool
	@$(AT); KAFKA_BROKERS="$$(at kafka 9092)" go run . topics
	@docker compose exec -T kafka /opt/kafka/bin/kafka-topics.sh --bootstrap-server kafka:19092 --exclude-internal --list

worker-dev: $(AIR) ## run the worker; rebuild and restart it when a source file or .env changes
	$(AIR)

VERSION = $(shell git describe --tags --always --dirty 2>/dev/null)

worker-build: ## build bin/sipeat for this machine, with its version
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X github.com/sipeat/sipeat/shared/cli.version=$(VERSION)' -o bin/sipeat .

worker-start: ## run the worker that `make worker-build` built
	@test -x bin/sipeat || { echo 'There is no bin/sipeat: `make worker-build` first.' >&2; exit 1; }
	@exec bin/sipeat worker

# --- AWS: template.yaml lists the resources, and is generated. The first deployment stores the answers to SAM's questions in samconfig.local.toml,
# which git ignores. `build` reads the Architecture from there, because a binary for an architecture other than its function's does not start.
.PHONY: template build deploy validate sam-local need-sam

SAM := sam
CFN_LINT := cfn-lint
STACK_CONFIG := samconfig.local.toml
ANSWERS = { file=$(STACK_CONFIG); test -f $$file || file=samconfig.toml; awk '/^\[/ {section = $$0} section == "[default.deploy.parameters]"' $$file; }
STACK = $(shell $(ANSWERS) | sed -n 's/^stack_name *= *"\(.*\)"/\1/p')
ARCHITECTURE = $(shell $(ANSWERS) | grep -q 'Architecture=[\"]*x86_64' && echo amd64 || echo arm64)
ARCH := $(ARCHITECTURE)

template: ## generate template.yaml from the functions, the events and shared/proof/template
	go run ./shared/proof/template >template.yaml.new
	mv template.yaml.new template.yaml

# Builds are reproducible: the binaries contain no path, commit or time, so SAM deploys only what has changed.
build: ## build the three binaries of the Lambda functions in dist; ARCH=amd64 for x86_64
	@test '$(ARCH)' = arm64 -o '$(ARCH)' = amd64 || { echo 'ARCH=$(ARCH): Lambda has arm64 and amd64.' >&2; exit 2; }
	@for side in commands queries consumers; do \
		(set -x; GOOS=linux GOARCH=$(ARCH) CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -tags lambda.norpc -o dist/$$side/bootstrap ./functions/$$side/bootstrap) || exit 1; \
	done

need-sam:
	@command -v $(SAM) >/dev/null || { echo 'This needs the SAM CLI: https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/install-sam-cli.html, or SAM=path/to/sam.' >&2; exit 2; }

sam-local: need-sam docker ## test the functions under the SAM CLI in separate containers: those of `make up` are left alone
	DOCKER=1 SAM='$(SAM)' go test -count=1 -v -timeout 20m -run '^TestSAMLocal' ./shared/proof/containers

validate: need-sam ## validate template.yaml with `sam validate --lint` and with cfn-lint
	AWS_DEFAULT_REGION="$${AWS_DEFAULT_REGION:-us-east-1}" $(SAM) validate --lint
	$(CFN_LINT) template.yaml

# SAM may ask for the Architecture after the build. An answer other than ARCH is reported as an error; it does not deploy a second time.
deploy: need-sam ## build and deploy to AWS; SAM asks for the stack's name and parameters the first time
	@test -z '$(STACK)' -o '$(ARCH)' = '$(ARCHITECTURE)' || { echo 'ARCH=$(ARCH), but $(STACK_CONFIG) says $(ARCHITECTURE) (Architecture; arm64 by default): leave out ARCH, or change it there.' >&2; exit 2; }
	@$(MAKE) --no-print-directory build ARCH='$(ARCH)'
	@test -f $(STACK_CONFIG) || cp samconfig.toml $(STACK_CONFIG)
	$(SAM) deploy --config-file $(STACK_CONFIG)$(if $(STACK),, --guided --parameter-overrides Architecture=$(ARCH:amd64=x86_64))
	@deployed=$$($(ANSWERS) | sed -n 's/.*Architecture=[\"]*\([a-z0-9_]*\).*/\1/p'); \
	test '$(ARCH:amd64=x86_64)' = "$${deployed:-$(ARCH:amd64=x86_64)}" || { echo "The functions are $$deployed now, but their binaries were built for $(ARCH:amd64=x86_64) and do not start: run \`make deploy\` again." >&2; exit 1; }

$(GOLANGCI_LINT):
	GOBIN=$(TOOLS)/new go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(TOOLS)/new/golangci-lint $@

$(GOVULNCHECK):
	GOBIN=$(TOOLS)/new go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv $(TOOLS)/new/govulncheck $@

$(DEADCODE):
	GOBIN=$(TOOLS)/new go install golang.org/x/tools/cmd/deadcode@v0.52.0
	mv $(TOOLS)/new/deadcode $@

$(BENCHSTAT):
	GOBIN=$(TOOLS)/new go install golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da
	mv $(TOOLS)/new/benchstat $@

$(AIR):
	GOBIN=$(TOOLS)/new go install github.com/air-verse/air@v1.67.4
	mv $(TOOLS)/new/air $@
