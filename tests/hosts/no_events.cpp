// Allocates nothing: leaves no file.
int main()
{
    return 3;
}
