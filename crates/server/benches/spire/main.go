// Has a SPIRE server sign X.509-SVIDs and JWT-SVIDs over mutual TLS as `cargo bench -p avouch-server`
// has ours, and prints how many it signs in a second of the processor time of its process.
//
// go run . /path/to/api.sock 127.0.0.1:8081 PROCESS-ID
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func busy(pid string) float64 {
	text := string(must(os.ReadFile("/proc/" + pid + "/stat")))
	fields := strings.Fields(text[strings.LastIndex(text, ")")+2:])
	user := must(strconv.ParseFloat(fields[11], 64))
	kernel := must(strconv.ParseFloat(fields[12], 64))
	return (user + kernel) / 100
}

func main() {
	socket, address, pid := os.Args[1], os.Args[2], os.Args[3]
	ctx := context.Background()
	local := must(grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials())))
	agents := agentv1.NewAgentClient(local)
	token := must(agents.CreateJoinToken(ctx, &agentv1.CreateJoinTokenRequest{Ttl: 600})).Value
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	csr := must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))

	open := func(config *tls.Config) *grpc.ClientConn {
		config.InsecureSkipVerify = true
		return must(grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config))))
	}
	stream := must(agentv1.NewAgentClient(open(&tls.Config{})).AttestAgent(ctx))
	if err := stream.Send(&agentv1.AttestAgentRequest{Step: &agentv1.AttestAgentRequest_Params_{Params: &agentv1.AttestAgentRequest_Params{
		Data:   &types.AttestationData{Type: "join_token", Payload: []byte(token)},
		Params: &agentv1.AgentX509SVIDParams{Csr: csr},
	}}}); err != nil {
		log.Fatal(err)
	}
	attested := must(stream.Recv()).GetResult().Svid
	certificate := tls.Certificate{Certificate: attested.CertChain, PrivateKey: key}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}

	entries := entryv1.NewEntryClient(local)
	var ids []string
	for start := 0; start < 1000; start += 100 {
		var list []*types.Entry
		for number := start; number < start+100; number++ {
			list = append(list, &types.Entry{
				ParentId:  attested.Id,
				SpiffeId:  &types.SPIFFEID{TrustDomain: attested.Id.TrustDomain, Path: fmt.Sprintf("/ns/payments/sa/service-%d", number)},
				Selectors: []*types.Selector{{Type: "unix", Value: fmt.Sprintf("uid:%d", number)}},
			})
		}
		answer := must(entries.BatchCreateEntry(ctx, &entryv1.BatchCreateEntryRequest{Entries: list}))
		for _, result := range answer.Results {
			ids = append(ids, result.Entry.Id)
		}
	}
	time.Sleep(12 * time.Second) // its cache of entries
	svids := svidv1.NewSVIDClient(open(config))
	workload := func() []byte {
		return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key))
	}()
	batch := func(size int) func(int) {
		return func(call int) {
			var params []*svidv1.NewX509SVIDParams
			for number := 0; number < size; number++ {
				params = append(params, &svidv1.NewX509SVIDParams{EntryId: ids[(call*size+number)%1000], Csr: workload})
			}
			answer := must(svids.BatchNewX509SVID(ctx, &svidv1.BatchNewX509SVIDRequest{Params: params}))
			for _, result := range answer.Results {
				if result.Status.Code != 0 {
					log.Fatal(result.Status)
				}
			}
		}
	}
	jwt := func(call int) {
		must(svids.NewJWTSVID(ctx, &svidv1.NewJWTSVIDRequest{EntryId: ids[call%1000], Audience: []string{"vault"}}))
	}
	measure := func(name string, size, calls, atOnce int, work func(int)) {
		var rates []float64
		var walls []float64
		for round := 0; round < 6; round++ {
			started, before := time.Now(), busy(pid)
			var group sync.WaitGroup
			for worker := 0; worker < atOnce; worker++ {
				group.Add(1)
				go func() {
					defer group.Done()
					for call := worker; call < calls; call += atOnce {
						work(call)
					}
				}()
			}
			group.Wait()
			if round > 0 {
				rates = append(rates, float64(calls*size)/(busy(pid)-before))
				walls = append(walls, float64(calls*size)/time.Since(started).Seconds())
			}
		}
		sort.Float64s(rates)
		sort.Float64s(walls)
		fmt.Printf("  %-36s %7.0f/s, %7.0f per processor second of the server (%.0f to %.0f)\n", name, walls[2], rates[2], rates[0], rates[4])
	}
	measure("X.509-SVIDs, batches of 50 (8 at once)", 50, 200, 8, batch(50))
	measure("X.509-SVIDs, one by one (64 at once)", 1, 2000, 64, batch(1))
	measure("JWT-SVIDs, one by one (64 at once)", 1, 2000, 64, jwt)
}
