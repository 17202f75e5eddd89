/* signetd: one program in several roles; argv[0] says which one this process is. */
#include "daemon/base/role.h"
#include "daemon/broker/broker.h"
#include "daemon/publisher/publisher.h"
#include "daemon/signer/signer.h"
#include "daemon/supervisor/supervisor.h"
#include "daemon/verifier/verifier.h"
#include "proto/jose/json.h"

int main(int argc, char **argv)
{
    unsigned number = 0;
    enum role_kind role = role_of(argv[0], &number);

    if (role != ROLE_SIGNER)             /* its module may use jansson too */
        json_own_memory();
    switch (role) {
    case ROLE_BROKER:     return broker_main();
    case ROLE_SIGNER:     return signer_main(number);
    case ROLE_VERIFIER:   return verifier_main(number);
    case ROLE_PUBLISHER:  return publisher_main();
    case ROLE_SUPERVISOR: break;
    }
    return supervisor_main(argc, argv);
}
