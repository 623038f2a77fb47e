/* SPDX-License-Identifier: PostgreSQL
 *
 * seed.h: the rules as they are seeded, as a snapshot (jobs, marketplace and property enrolled).
 */
#ifndef TEST_SEED_H
#define TEST_SEED_H

#define UUID "00000000-0000-4000-8000-000000000001"
#define HEAD "webhook_routing\t1\n"

/* config line with everything that tests vary */
#define CONFIG(percentage, enabled, salt)                                                          \
    "config\t" UUID "\t7\t" percentage "\t" enabled "\t" salt "\twa-webhook-unified\twa-webhook\n"

/* Domains and patterns as they are seeded. */
#define SEED_DOMAINS                                                                               \
    "domain\tinsurance\twa-webhook-insurance\tt\t\\N\t10\tf\n"                                     \
    "domain\tjobs\twa-webhook-jobs\tf\t\\N\t20\tt\n"                                               \
    "domain\tproperty\twa-webhook-property\tf\t\\N\t30\tt\n"                                       \
    "domain\tmobility\twa-webhook-mobility\tt\t\\N\t40\tf\n"                                       \
    "domain\tmarketplace\twa-webhook-marketplace\tf\t\\N\t50\tt\n"                                 \
    "domain\tprofile\twa-webhook-profile\tt\t\\N\t60\tf\n"

#define SEED_PATTERNS                                                                              \
    "pattern\tjobs\tkeyword\tprefix\tjob\n"                                                        \
    "pattern\tjobs\tkeyword\tprefix\thire\n"                                                       \
    "pattern\tjobs\tkeyword\tprefix\tapply\n"                                                      \
    "pattern\tjobs\tkeyword\tprefix\tcareer\n"                                                     \
    "pattern\tjobs\tkeyword\tprefix\twork\n"                                                       \
    "pattern\tjobs\tkeyword\tword\thiring\n"                                                       \
    "pattern\tjobs\tkeyword\tword\temployment\n"                                                   \
    "pattern\tjobs\tkeyword\tword\tcv\n"                                                           \
    "pattern\tjobs\tkeyword\tword\tresume\n"                                                       \
    "pattern\tjobs\tkeyword\tword\tgig\n"                                                          \
    "pattern\tjobs\tkeyword\tword\tgigs\n"                                                         \
    "pattern\tjobs\tkeyword\tword\tcover letter\n"                                                 \
    "pattern\tjobs\tkeyword\tword\tapplied\n"                                                      \
    "pattern\tjobs\tkeyword\tword\tapplies\n"                                                      \
    "pattern\tjobs\tkeyword\tword\temployer\n"                                                     \
    "pattern\tjobs\tkeyword\tword\temployers\n"                                                    \
    "pattern\tjobs\tkeyword\tword\temployee\n"                                                     \
    "pattern\tjobs\tkeyword\tword\temployees\n"                                                    \
    "pattern\tmarketplace\tkeyword\tprefix\tbuy\n"                                                 \
    "pattern\tmarketplace\tkeyword\tprefix\tsell\n"                                                \
    "pattern\tmarketplace\tkeyword\tprefix\tshop\n"                                                \
    "pattern\tmarketplace\tkeyword\tprefix\torder\n"                                               \
    "pattern\tmarketplace\tkeyword\tprefix\tpurchase\n"                                            \
    "pattern\tmarketplace\tkeyword\tprefix\tbusiness\n"                                            \
    "pattern\tmarketplace\tkeyword\tprefix\tbroker\n"                                              \
    "pattern\tmarketplace\tkeyword\tword\tstore\n"                                                 \
    "pattern\tmarketplace\tkeyword\tword\tstores\n"                                                \
    "pattern\tmarketplace\tkeyword\tword\tproduct\n"                                               \
    "pattern\tmarketplace\tkeyword\tword\tproducts\n"                                              \
    "pattern\tmarketplace\tkeyword\tword\tcart\n"                                                  \
    "pattern\tmarketplace\tkeyword\tword\tmarketplace\n"                                           \
    "pattern\tmarketplace\tkeyword\tword\tbought\n"                                                \
    "pattern\tmarketplace\tkeyword\tword\tsold\n"                                                  \
    "pattern\tmarketplace\tkeyword\tword\tpurchasing\n"                                            \
    "pattern\tproperty\tkeyword\tprefix\trental\n"                                                 \
    "pattern\tproperty\tkeyword\tprefix\tapartment\n"                                              \
    "pattern\tproperty\tkeyword\tprefix\tlandlord\n"                                               \
    "pattern\tproperty\tkeyword\tprefix\ttenant\n"                                                 \
    "pattern\tproperty\tkeyword\tword\tproperty\n"                                                 \
    "pattern\tproperty\tkeyword\tword\tproperties\n"                                               \
    "pattern\tproperty\tkeyword\tword\trent\n"                                                     \
    "pattern\tproperty\tkeyword\tword\trenting\n"                                                  \
    "pattern\tproperty\tkeyword\tword\trented\n"                                                   \
    "pattern\tproperty\tkeyword\tword\thouse\n"                                                    \
    "pattern\tproperty\tkeyword\tword\thouses\n"                                                   \
    "pattern\tproperty\tkeyword\tword\treal estate\n"                                              \
    "pattern\tproperty\tkeyword\tword\trents\n"                                                    \
    "pattern\tproperty\tkeyword\tword\trenter\n"                                                   \
    "pattern\tproperty\tkeyword\tword\trenters\n"                                                  \
    "pattern\tproperty\tkeyword\tword\trealestate\n"                                               \
    "pattern\tmobility\tkeyword\tprefix\tride\n"                                                   \
    "pattern\tmobility\tkeyword\tprefix\tdriver\n"                                                 \
    "pattern\tmobility\tkeyword\tprefix\ttaxi\n"                                                   \
    "pattern\tmobility\tkeyword\tprefix\ttransport\n"                                              \
    "pattern\tmobility\tkeyword\tprefix\tschedule\n"                                               \
    "pattern\tmobility\tkeyword\tword\ttrip\n"                                                     \
    "pattern\tmobility\tkeyword\tword\ttrips\n"                                                    \
    "pattern\tmobility\tkeyword\tword\tbook\n"                                                     \
    "pattern\tmobility\tkeyword\tword\tbooking\n"                                                  \
    "pattern\tmobility\tkeyword\tword\tbooked\n"                                                   \
    "pattern\tmobility\tkeyword\tword\tnearby\n"                                                   \
    "pattern\tmobility\tkeyword\tword\tdelivery\n"                                                 \
    "pattern\tmobility\tkeyword\tword\tdeliver\n"                                                  \
    "pattern\tmobility\tkeyword\tword\tdelivered\n"                                                \
    "pattern\tmobility\tkeyword\tword\tdeliveries\n"                                               \
    "pattern\tmobility\tkeyword\tword\tdriving\n"                                                  \
    "pattern\tmobility\tkeyword\tword\triding\n"                                                   \
    "pattern\tmobility\tkeyword\tword\tscheduling\n"                                               \
    "pattern\tprofile\tkeyword\tprefix\twallet\n"                                                  \
    "pattern\tprofile\tkeyword\tprefix\ttoken\n"                                                   \
    "pattern\tprofile\tkeyword\tprefix\ttransfer\n"                                                \
    "pattern\tprofile\tkeyword\tprefix\tredeem\n"                                                  \
    "pattern\tprofile\tkeyword\tprefix\treward\n"                                                  \
    "pattern\tprofile\tkeyword\tprefix\tpayment\n"                                                 \
    "pattern\tprofile\tkeyword\tprefix\tdeposit\n"                                                 \
    "pattern\tprofile\tkeyword\tprefix\twithdraw\n"                                                \
    "pattern\tprofile\tkeyword\tprefix\treferral\n"                                                \
    "pattern\tprofile\tkeyword\tprefix\tprofile\n"                                                 \
    "pattern\tprofile\tkeyword\tword\tearn\n"                                                      \
    "pattern\tprofile\tkeyword\tword\tearned\n"                                                    \
    "pattern\tprofile\tkeyword\tword\tearning\n"                                                   \
    "pattern\tprofile\tkeyword\tword\tearnings\n"                                                  \
    "pattern\tprofile\tkeyword\tword\tbalance\n"                                                   \
    "pattern\tprofile\tkeyword\tword\tpay\n"                                                       \
    "pattern\tprofile\tkeyword\tword\tpaying\n"                                                    \
    "pattern\tprofile\tkeyword\tword\tmoney\n"                                                     \
    "pattern\tprofile\tkeyword\tword\taccount\n"                                                   \
    "pattern\tprofile\tkeyword\tword\taccounts\n"                                                  \
    "pattern\tprofile\tkeyword\tword\tpaid\n"                                                      \
    "pattern\tinsurance\tkeyword\tprefix\tclaim\n"                                                 \
    "pattern\tinsurance\tkeyword\tprefix\tpremium\n"                                               \
    "pattern\tinsurance\tkeyword\tprefix\tinsure\n"                                                \
    "pattern\tinsurance\tkeyword\tword\tinsurance\n"                                               \
    "pattern\tinsurance\tkeyword\tword\tassurance\n"                                               \
    "pattern\tinsurance\tkeyword\tword\tpolicy\n"                                                  \
    "pattern\tinsurance\tkeyword\tword\tpolicies\n"                                                \
    "pattern\tinsurance\tkeyword\tword\tprotection\n"                                              \
    "pattern\tinsurance\tkeyword\tword\tinsuring\n"                                                \
    "pattern\tinsurance\tkeyword\tword\tcover\n"                                                   \
    "pattern\tinsurance\tkeyword\tword\tcovers\n"                                                  \
    "pattern\tinsurance\tkeyword\tword\tcoverage\n"                                                \
    "pattern\tjobs\tbutton\tprefix\tjob\n"                                                         \
    "pattern\tjobs\tbutton\texact\tjobs\n"                                                         \
    "pattern\tjobs\tbutton\texact\tjobs_agent\n"                                                   \
    "pattern\tmarketplace\tbutton\tprefix\tshop\n"                                                 \
    "pattern\tmarketplace\tbutton\tprefix\tbuy\n"                                                  \
    "pattern\tmarketplace\tbutton\texact\tmarketplace\n"                                           \
    "pattern\tmarketplace\tbutton\texact\tshops_services\n"                                        \
    "pattern\tmarketplace\tbutton\texact\tbuy_and_sell\n"                                          \
    "pattern\tmarketplace\tbutton\texact\tbusiness_broker_agent\n"                                 \
    "pattern\tmarketplace\tbutton\texact\tgeneral_broker\n"                                        \
    "pattern\tproperty\tbutton\tprefix\tproperty\n"                                                \
    "pattern\tproperty\tbutton\tprefix\trent\n"                                                    \
    "pattern\tproperty\tbutton\texact\tproperty_rentals\n"                                         \
    "pattern\tproperty\tbutton\texact\treal_estate_agent\n"                                        \
    "pattern\tmobility\tbutton\texact\trides\n"                                                    \
    "pattern\tmobility\tbutton\texact\tmobility\n"                                                 \
    "pattern\tmobility\tbutton\texact\trides_agent\n"                                              \
    "pattern\tmobility\tbutton\texact\tnearby_drivers\n"                                           \
    "pattern\tmobility\tbutton\texact\tnearby_passengers\n"                                        \
    "pattern\tmobility\tbutton\texact\tschedule_trip\n"                                            \
    "pattern\tprofile\tbutton\texact\twallet\n"                                                    \
    "pattern\tprofile\tbutton\texact\ttoken_transfer\n"                                            \
    "pattern\tprofile\tbutton\texact\tmomo_qr\n"                                                   \
    "pattern\tprofile\tbutton\texact\tprofile\n"                                                   \
    "pattern\tprofile\tbutton\texact\tprofile_assets\n"                                            \
    "pattern\tprofile\tbutton\texact\tmy_business\n"                                               \
    "pattern\tprofile\tbutton\texact\tsaved_locations\n"                                           \
    "pattern\tinsurance\tbutton\texact\tinsurance\n"                                               \
    "pattern\tinsurance\tbutton\texact\tinsurance_agent\n"                                         \
    "pattern\tinsurance\tbutton\texact\tmotor_insurance\n"                                         \
    "pattern\tinsurance\tbutton\texact\tinsurance_submit\n"                                        \
    "pattern\tinsurance\tbutton\texact\tinsurance_help\n"

#define SEED(percentage, enabled)                                                                  \
    HEAD CONFIG(percentage, enabled, "0") SEED_DOMAINS SEED_PATTERNS "end\n"

#endif
