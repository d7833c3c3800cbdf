package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/exp/proto/spiffe/broker"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"
)

// brokered gets its own identity like any workload, and by it that of the process with a number.
func brokered(address, provider, process string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	id, err := spiffeid.FromString(provider)
	if err != nil {
		return err
	}
	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(id))
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := broker.NewAPIClient(connection)
	ctx = metadata.AppendToOutgoingContext(ctx, "broker.spiffe.io", "true")

	number, err := strconv.ParseInt(process, 10, 32)
	if err != nil {
		return err
	}
	packed, err := anypb.New(&broker.WorkloadPIDReference{Pid: int32(number)})
	if err != nil {
		return err
	}
	reference := &broker.WorkloadReference{Reference: packed}
	stream, err := client.SubscribeToX509SVID(ctx, &broker.SubscribeToX509SVIDRequest{Reference: reference})
	if err != nil {
		return err
	}
	held, err := stream.Recv()
	if err != nil {
		return err
	}
	fmt.Println("brokered x509", held.Svids[0].SpiffeId)
	tokens, err := client.FetchJWTSVID(ctx, &broker.FetchJWTSVIDRequest{
		Reference: reference,
		Audience:  []string{"db"},
	})
	if err != nil {
		return err
	}
	fmt.Println("brokered jwt", tokens.Svids[0].SpiffeId)
	return nil
}
