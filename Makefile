# What people and CI run. `make help` lists it.
.DEFAULT_GOAL := help
.PHONY: help test race lint vuln retracted bench integration

# Tools are built once per version of theirs and of Go, outside the checkout.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sipeat-tools/$(shell go env GOVERSION)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-v2.15.0
GOVULNCHECK := $(TOOLS)/govulncheck-v1.9.0
DECODERS := shared/proof/decoders
KAFKAJS := shared/proof/kafkajs

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: ## all tests that need nothing installed
	go test ./...

race: ## the same under the race detector
	go test -race ./...

lint: $(GOLANGCI_LINT) ## format, vet, lint, go.mod
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$unformatted" || { echo "gofmt would change:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	go mod tidy -diff
	go mod verify
	$(GOLANGCI_LINT) run --allow-serial-runners

vuln: $(GOVULNCHECK) ## known vulnerabilities in what is linked (asks vuln.go.dev)
	$(GOVULNCHECK) ./...

retracted: ## modules in use that their authors have retracted or deprecated (asks the module proxy)
	@for module in . $(DECODERS); do \
		linked=$$(cd $$module && go list -deps -test -f '{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}' ./...) || exit 1; \
		used=$$(echo "$$linked" | sort -u); \
		found=$$(cd $$module && go list -m -u -retracted -f '{{if or .Retracted .Deprecated}}{{.Path}} {{.Version}}: {{.Retracted}} {{.Deprecated}}{{end}}' $$used) || exit 1; \
		echo "$$module: $$(echo "$$used" | wc -l) modules in use"; \
		test -z "$$found" || { echo "retracted or deprecated:"; echo "$$found"; exit 1; }; \
	done

bench: ## the figures, each beside its baseline in the same run
	go test -run '^$$' -bench . -benchmem ./shared/...
	cd $(DECODERS) && go test -run '^$$' -bench . -cpu 1

integration: ## the suites that want real servers: KAFKA_BROKERS=host:port make integration
	@test -n "$$KAFKA_BROKERS" || { echo "set KAFKA_BROKERS to a Kafka that may be written to, such as KAFKA_BROKERS=127.0.0.1:9092"; exit 2; }
	cd $(KAFKAJS) && npm ci
	KAFKAJS=$(CURDIR)/$(KAFKAJS) go test -count=1 -v ./shared/bus/kafka ./shared/proof

$(GOLANGCI_LINT):
	GOBIN=$(TOOLS)/new go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv $(TOOLS)/new/golangci-lint $@

$(GOVULNCHECK):
	GOBIN=$(TOOLS)/new go install golang.org/x/vuln/cmd/govulncheck@v1.9.0
	mv $(TOOLS)/new/govulncheck $@
