/* SPDX-License-Identifier: PostgreSQL
 *
 * load_messages.c: what Meta would send: text messages about the domains of the seeded rules,
 * batches and statuses. Number n always has the same bytes.
 */
#include "load.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/* What customers write, and the domain that the seeded rules find in it. */
static const struct
{
    const char *domain, *text;
} SENTENCES[] = {
    {"jobs", "I am looking for jobs in Kigali"},
    {"marketplace", "I want to buy a second hand laptop"},
    {"property", "Is the two bedroom apartment in Remera still free?"},
    {"jobs", "Are you hiring cooks this month?"},
    {"mobility", "I need a ride from Nyabugogo to the airport"},
    {"marketplace", "Do you have this shoe in your shop?"},
    {"profile", "What is my wallet balance?"},
    {"property", "Renting a house near the university"},
    {"insurance", "How much is motor insurance for one year?"},
    {"unknown", "Good morning, how are you today?"},
};

/* splitmix64: numbers that look random and always are the same */
static uint64_t scramble(uint64_t number)
{
    number += 0x9e3779b97f4a7c15u;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9u;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebu;
    return number ^ (number >> 31);
}

/* What item `item` of webhook `number` speaks of: those of a batch of different domains. */
static size_t sentence_of(uint64_t number, unsigned int item)
{
    const size_t count = sizeof SENTENCES / sizeof *SENTENCES;
    size_t at = (number + item) % count;

    if (option.domain != NULL)
        for (size_t i = 0; i < count && strcmp(SENTENCES[at].domain, option.domain) != 0; i++)
            at = (at + 1) % count;
    return at;
}

/* A status of a message that was sent to somebody, instead of a message. */
static bool is_status(uint64_t number)
{
    return option.statuses > 0 && number % option.statuses == 0;
}

const char *domain_of(uint64_t number, unsigned int item)
{
    return is_status(number) ? "status" : SENTENCES[sentence_of(number, item)].domain;
}

unsigned int items_of(uint64_t number)
{
    return !is_status(number) && option.batch > 0 && number % option.batch == 0 ? BATCH_ITEMS : 1;
}

unsigned long long sender_of(uint64_t number, unsigned int item)
{
    return 250780000000u + scramble(number + ((uint64_t) item << 56)) % option.senders;
}

void message_id_of(uint64_t number, unsigned int item, char id[MAX_ID])
{
    int length = snprintf(id, MAX_ID, "wamid.HBgMMjUwNzg4MDAwMDAwFQIAEhgU%016llX%010llu",
                          (unsigned long long) scramble(number), (unsigned long long) number);

    if (item > 0)
        snprintf(id + length, MAX_ID - (size_t) length, "%u", item);
}

/* One element of `messages` without the end of its text. Returns its length. */
static size_t item_of(uint64_t number, unsigned int item, char *to, size_t room)
{
    char id[MAX_ID];

    message_id_of(number, item, id);
    return (size_t) snprintf(to, room,
                             "{\"from\":\"%llu\",\"id\":\"%s\",\"timestamp\":\"%llu\","
                             "\"text\":{\"body\":\"%s",
                             sender_of(number, item), id,
                             1760000000ull + (unsigned long long) number,
                             SENTENCES[sentence_of(number, item)].text);
}

/* A webhook that says how a message fared. Returns its length. */
static size_t status_of(uint64_t number, char *body, size_t room)
{
    static const char *const WORDS[] = {"sent", "delivered", "read"};
    char id[MAX_ID];

    message_id_of(number, 0, id);
    return (size_t) snprintf(
        body, room,
        "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\","
        "\"changes\":[{\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":"
        "{\"display_phone_number\":\"250788000000\",\"phone_number_id\":\"106540352242922\"},"
        "\"statuses\":[{\"id\":\"%s\",\"status\":\"%s\",\"timestamp\":\"%llu\","
        "\"recipient_id\":\"%llu\"}]},\"field\":\"messages\"}]}]}",
        id, WORDS[scramble(number) % 3], 1760000000ull + (unsigned long long) number,
        sender_of(number, 0));
}

size_t body_of(uint64_t number, char *body, size_t room)
{
    static const char item_end[] = "\"},\"type\":\"text\"}",
                      tail[] = "]},\"field\":\"messages\"}]}]}";
    unsigned long long sender = sender_of(number, 0);
    unsigned int items = items_of(number);
    size_t length;

    if (is_status(number))
        return status_of(number, body, room);
    length = (size_t) snprintf(
        body, room,
        "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"102290129340398\","
        "\"changes\":"
        "[{\"value\":{\"messaging_product\":\"whatsapp\",\"metadata\":{\"display_phone_number\":"
        "\"250788000000\",\"phone_number_id\":\"106540352242922\"},\"contacts\":[{\"profile\":"
        "{\"name\":\"Mutesi %llu\"},\"wa_id\":\"%llu\"}],\"messages\":[",
        sender % 1000, sender);

    for (unsigned int item = 0; item < items; item++)
    {
        if (item > 0)
            body[length++] = ',';
        length += item_of(number, item, body + length, room - length);
        while (item + 1 == items && length + sizeof item_end + sizeof tail - 2 < option.size)
        {
            memcpy(body + length, " la", 3); /* no word of any domain */
            length += 3;
        }
        memcpy(body + length, item_end, sizeof item_end - 1);
        length += sizeof item_end - 1;
    }
    memcpy(body + length, tail, sizeof tail - 1);
    return length + sizeof tail - 1;
}

size_t body_room(void)
{
    return 1024 * BATCH_ITEMS + option.size;
}

size_t signature_line(const char *body, size_t length, char *line, size_t room)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_length = 0;
    size_t at;

    if (option.secret_length == 0)
        return 0;
    HMAC(EVP_sha256(), option.secret, (int) option.secret_length, (const unsigned char *) body,
         length, digest, &digest_length);
    at = (size_t) snprintf(line, room, "X-Hub-Signature-256: sha256=");
    for (unsigned int i = 0; i < digest_length; i++)
        at += (size_t) snprintf(line + at, room - at, "%02x", digest[i]);
    return at + (size_t) snprintf(line + at, room - at, "\r\n");
}
